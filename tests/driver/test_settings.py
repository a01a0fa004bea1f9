"""
One reader of settings: names, types and spelling mistakes are reported the same way by all drivers.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from asyncstore.config import COMMON_SETTINGS
from asyncstore.driver.settings import CUSTOMER_KEY, at_most_one, one_of, read_settings
from asyncstore.errors import ConfigurationError

READERS = {"key": CUSTOMER_KEY, "checksum": one_of({"CRC": 1, "none": None})}


@dataclass(frozen=True, kw_only=True)
class Lab:
    style: Literal["auto", "path"] = "auto"
    verify: bool = True
    limit: int = 8
    owner: str | None = None
    key: bytes | None = field(default=None, repr=False)
    checksum: int | None = 1


def read(**settings: Any) -> Lab:
    return read_settings(Lab, settings, provider="lab", readers=READERS, others=["access_key_id"])


def test_values_are_read_by_their_types() -> None:
    """Text is converted, upper case folded; None is the default, and a choice can stand for None."""
    every = read(style="PATH", verify="no", limit="9", owner="me", key="A" * 43 + "=", checksum="none")

    assert every == Lab(style="path", verify=False, limit=9, owner="me", key=bytes(32), checksum=None)
    assert read(style=None, limit=None, key=bytes(32)) == Lab(key=bytes(32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"style": "pth"}, "style takes 'auto' or 'path', not 'pth'"),
        ({"verify": "perhaps"}, "verify takes true or false, not 'perhaps'"),
        ({"limit": 1.5}, "limit takes a whole number, not 1.5"),
        ({"owner": 12}, "owner takes text, not 12"),
        ({"checksum": "md4"}, "checksum takes 'CRC' or 'none', not 'md4'"),
    ],
)
def test_wrong_values(settings: dict[str, Any], message: str) -> None:
    """The error names the setting, what it takes and what was given."""
    with pytest.raises(ConfigurationError) as caught:
        read(**settings)

    assert str(caught.value) == message


@pytest.mark.parametrize("key", ["hush", b"hush", 5, "ä"])
def test_wrong_keys_are_not_shown(key: object) -> None:
    """Only the type of a secret is named."""
    with pytest.raises(ConfigurationError, match=f"key takes 32 bytes, or their base64, not {type(key).__name__}$"):
        read(key=key)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("regoin", "region"),
        ("endpoint_ur", "endpoint_url"),
        ("acces_key_id", "access_key_id"),
        ("Style", "style"),
        ("access", "access_key_id"),
        ("colour", None),
    ],
)
def test_unknown_names(wrong: str, meant: str | None) -> None:
    """The error suggests the setting that was meant, and lists the driver's, the credentials' and the common ones."""
    with pytest.raises(ConfigurationError) as caught:
        read(**{wrong: 1})

    text = str(caught.value)
    assert text.startswith(f"lab has no setting '{wrong}'." + (f" Did you mean '{meant}'? It" if meant else " It"))
    assert all(name in text for name in ("style", "checksum", "access_key_id", *COMMON_SETTINGS))


def test_exclusive_settings() -> None:
    """Two that exclude each other are named."""
    at_most_one(one=None, two="x")

    with pytest.raises(ConfigurationError, match="give one or two, not both"):
        at_most_one(one=1, two="x")
