"""
OCI identities from settings, environment, profiles and sessions.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from asyncstore.auth.credentials import Secret
from asyncstore.auth.oci.credentials import OCICredentials, OCIKeys, oci_credentials
from asyncstore.config import AuthConfig
from asyncstore.errors import ConfigurationError, UnauthenticatedError
from asyncstore.testing.servers.oci.users import Session
from tests.servers.oci import readonly_user, user

#: An address where no server listens.
UNREACHABLE = "http://127.0.0.1:1/opc/v2"
PHRASE = "FAKE0passphrase0for0tests0only"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """
    An empty home directory and a clean environment.
    """
    for name in [name for name in os.environ if name.startswith("OCI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OCI_METADATA_BASE_URL", UNREACHABLE)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return tmp_path


def write_profiles(home: Path, **profiles: dict[str, Any]) -> Path:
    folder = home / ".oci"
    folder.mkdir(exist_ok=True)
    lines = []
    for name, values in profiles.items():
        lines += [f"[{name}]", *[f"{key} = {value}" for key, value in values.items()]]
    (folder / "config").write_text("\n".join(lines))
    return folder / "config"


def write_key(home: Path, *, phrase: str | None = None, name: str = "key.pem") -> Path:
    pem = user().private_key.encode()
    if phrase is not None:
        key = serialization.load_pem_private_key(pem, None)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(phrase.encode()),
        )
    path = home / name
    path.write_bytes(pem + b"\nOCI_API_KEY\n")
    return path


def identity() -> dict[str, Any]:
    who = user()
    return {"tenancy": who.tenancy, "user": who.user, "fingerprint": who.fingerprint}


async def keys_of(credentials: OCICredentials) -> OCIKeys:
    keys = (await credentials.get()).value
    assert keys is not None
    return keys


async def test_profile(home: Path) -> None:
    """
    The profile ``DEFAULT`` of ``~/.oci/config`` is used by default.
    """
    write_profiles(home, DEFAULT={**identity(), "key_file": write_key(home), "region": "eu-frankfurt-1"})
    credentials = oci_credentials()

    keys = await keys_of(credentials)
    assert keys.key_id == user().key_id
    assert await credentials.region() == "eu-frankfurt-1"
    assert "DEFAULT" in credentials.source


async def test_profile_inherits(home: Path) -> None:
    """
    A profile inherits from ``DEFAULT``, even a passphrase that its own key does not need.
    """
    default = {
        **identity(),
        "key_file": write_key(home, phrase=PHRASE),
        "pass_phrase": PHRASE,
        "region": "us-phoenix-1",
    }
    write_profiles(
        home, DEFAULT=default, LAB={"key_file": write_key(home, name="plain.pem"), "user": "ocid1.user.other"}
    )
    first = await keys_of(oci_credentials(settings={"oci_profile": "LAB"}))
    second = await keys_of(oci_credentials(settings={}))

    assert "ocid1.user.other" in first.key_id
    assert second.key_id == user().key_id


@pytest.mark.parametrize("variable", ["OCI_CONFIG_FILE", "OCI_CLI_CONFIG_FILE", "OCI_CONFIG_PATH"])
async def test_file_from_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """
    A file named in the environment precedes the one in the home directory.
    """
    write_profiles(home, DEFAULT={"user": "not this one"})
    path = await asyncio.to_thread(user().write_config, home / "other", "us-phoenix-1")
    monkeypatch.setenv(variable, str(path))
    monkeypatch.setenv("OCI_CLI_PROFILE", "DEFAULT")

    assert (await keys_of(oci_credentials())).key_id == user().key_id


async def test_environment_over_profile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Each variable overrides the value in the profile.
    """
    write_profiles(home, DEFAULT={**identity(), "user": "profile", "key_file": "/nowhere"})
    monkeypatch.setenv("OCI_CLI_USER", "environment")
    monkeypatch.setenv("OCI_CLI_KEY_FILE", str(write_key(home, phrase=PHRASE)))
    monkeypatch.setenv("OCI_CLI_PASSPHRASE", PHRASE)

    assert "/environment/" in (await keys_of(oci_credentials())).key_id


async def test_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A complete identity in the environment needs no file.
    """
    for name, value in identity().items():
        monkeypatch.setenv(f"OCI_CLI_{name.upper()}", value)
    monkeypatch.setenv("OCI_CLI_KEY_CONTENT", user().private_key)
    monkeypatch.setenv("OCI_CLI_REGION", "fra")
    credentials = oci_credentials()

    assert (await keys_of(credentials)).key_id == user().key_id
    assert credentials.source == "environment"
    assert await credentials.region() == "fra"


@pytest.mark.parametrize("secret", [str, Secret])
async def test_inline(home: Path, secret: Any) -> None:
    """
    An identity in the settings overrides all files; the key can be text or a ``Secret``.
    """
    write_profiles(home, DEFAULT={"user": "not this one"})
    settings = {**identity(), "key_content": secret(user().private_key), "checksum": "none"}
    credentials = oci_credentials(settings=settings)

    assert (await keys_of(credentials)).key_id == user().key_id
    assert settings == {"checksum": "none"}
    assert credentials.source == "settings"


async def test_inline_key_file(home: Path) -> None:
    """
    The key can be in a file, with a passphrase.
    """
    path = write_key(home, phrase=PHRASE)
    settings = {**identity(), "key_file": path, "pass_phrase": Secret(PHRASE)}

    assert (await keys_of(oci_credentials(settings=settings))).key_id == user().key_id


def session_profile(home: Path, seconds: float = 3600.0) -> Session:
    """
    Write the files that ``oci session authenticate`` creates.
    """
    session = Session.generate(user(), seconds=seconds)
    (home / "token").write_text(session.token)
    (home / "session.pem").write_text(session.private_key)
    values = {"fingerprint": "aa:bb", "tenancy": user().tenancy, "region": "us-phoenix-1"}
    files = {"key_file": home / "session.pem", "security_token_file": home / "token"}
    write_profiles(home, DEFAULT={**values, **files})
    return session


@pytest.mark.parametrize("auth_type", ["default", "session_token", "security_token"])
async def test_session(home: Path, auth_type: str) -> None:
    """
    A profile without a user is a session; ``auth_type`` can also require one.
    """
    session = session_profile(home)
    lease = await oci_credentials(AuthConfig(auth_type=auth_type)).get()

    assert lease.value is not None
    assert lease.value.key_id == session.key_id
    assert lease.expires_at is not None
    assert 3500 < lease.expires_at - time.monotonic() < 3600


async def test_session_is_read_again(home: Path) -> None:
    """
    If a session is rejected, its files are read again.
    """
    session_profile(home)
    credentials = oci_credentials()
    old = await credentials.get()
    new = session_profile(home)

    lease = await credentials.refresh(old)
    assert lease.value is not None
    assert lease.value.key_id == new.key_id


async def test_expiring_session_is_read_again(home: Path) -> None:
    """
    The file is read again before the session expires, so a session that is refreshed in time never fails.
    """
    session_profile(home, seconds=1.5)
    credentials = oci_credentials()
    await credentials.get()
    assert credentials.current() is not None
    new = session_profile(home)
    deadline = time.monotonic() + 5
    while (await keys_of(credentials)).key_id != new.key_id:
        assert time.monotonic() < deadline


async def test_expired_session(home: Path) -> None:
    """
    The error says what to do and does not contain the token.
    """
    session = session_profile(home, seconds=-5)

    with pytest.raises(UnauthenticatedError, match="oci session refresh") as failure:
        await oci_credentials().get()
    assert session.token not in str(failure.value)


async def test_refresh_with_the_same_key(home: Path) -> None:
    """
    A key that is read again unchanged equals the rejected one, so the request is not retried.
    """
    write_profiles(home, DEFAULT={**identity(), "key_file": write_key(home)})
    credentials = oci_credentials()
    old = await credentials.get()

    assert (await credentials.refresh(old)).value == old.value


async def test_anonymous() -> None:
    """
    Anonymous access uses no key and reads no file.
    """
    credentials = oci_credentials(settings={"anonymous": "true"})

    assert credentials.anonymous
    assert (await credentials.get()).value is None


async def test_fallback(home: Path) -> None:
    """
    A fallback has its own settings; if all methods fail, the error lists every reason.
    """
    write_profiles(home, DEFAULT={**identity(), "key_file": write_key(home)})
    inline = {"tenancy": "t", "user": "u", "fingerprint": "f", "key_file": str(home / "missing.pem")}
    auth = AuthConfig(auth_type="user_principal", settings=inline, fallback=AuthConfig())
    assert (await keys_of(oci_credentials(auth))).key_id == user().key_id

    broken = AuthConfig(settings=inline, fallback=AuthConfig(settings={"profile": "none"}))
    with pytest.raises(UnauthenticatedError, match=r"missing\.pem.*'none'"):
        await oci_credentials(broken).get()


@pytest.mark.parametrize(
    ("auth_type", "settings", "message"),
    [
        ("magic", {}, "no auth_type 'magic'"),
        ("default", {"user": "u"}, "tenancy, fingerprint, key_file or key_content"),
        ("default", {"key_file": "a", "key_content": "b"}, "not both"),
        ("default", {"config_file": "a", "config_path": "b"}, "not both"),
        ("default", {"tenancy": "t", "user": "u", "fingerprint": "f", "key_file": "k", "profile": "p"}, "remove it"),
        ("user_principal", {"anonymous": True}, "anonymous"),
        ("default", {"anonymous": True, "user": "u"}, "anonymous"),
    ],
)
def test_contradictions(auth_type: str, settings: dict[str, Any], message: str) -> None:
    """
    Contradictory settings are rejected before anything is read.
    """
    with pytest.raises(ConfigurationError, match=message):
        oci_credentials(AuthConfig(auth_type=auth_type), settings)


def test_unknown_setting() -> None:
    """
    The error for an unknown setting lists the known ones.
    """
    with pytest.raises(ConfigurationError, match=r"'pasphrase'\. Did you mean 'pass_phrase'\?.*pass_phrase"):
        oci_credentials(AuthConfig(settings={"pasphrase": "x"}))


def test_too_many_fallbacks() -> None:
    """
    At most ten configurations can be chained.
    """
    auth = AuthConfig()
    for number in range(10):
        auth = AuthConfig(settings={"profile": str(number)}, fallback=auth)

    with pytest.raises(ConfigurationError, match="more than 10"):
        oci_credentials(auth)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"user": "u"}, "neither key_file nor key_content"),
        ({"key_file": "/nowhere/key.pem"}, r"OCI private key /nowhere/key\.pem does not exist"),
        ({"key_content": "x"}, "has key_content"),
    ],
)
async def test_incomplete_profile(home: Path, profile: dict[str, Any], message: str) -> None:
    """
    The error names what the profile lacks.
    """
    write_profiles(home, DEFAULT=profile)

    with pytest.raises(ConfigurationError, match=message):
        await oci_credentials().get()


async def test_no_such_profile(home: Path) -> None:
    """
    The error for an unknown profile lists the existing ones.
    """
    write_profiles(home, DEFAULT={"user": "u"}, LAB={"user": "v"})

    with pytest.raises(ConfigurationError, match=r"no profile 'NONE'; profiles: \['DEFAULT', 'LAB'\]"):
        await oci_credentials(settings={"profile": "NONE"}).get()


async def test_no_credentials() -> None:
    """
    The error lists every method of the default chain and what it lacks.
    """
    with pytest.raises(
        UnauthenticatedError, match=r"\.oci/config.*OCI_CLI_USER.*RESOURCE_PRINCIPAL_VERSION"
    ) as failure:
        await oci_credentials().get()
    for named in ("resource_principal: ", "oke_workload_identity: KUBERNETES", "instance_principal: no answer from"):
        assert named in str(failure.value)


async def test_malformed_file(home: Path) -> None:
    """
    The error for a malformed file does not quote it, since it can contain secrets.
    """
    write_profiles(home).write_text(f"[DEFAULT\npass_phrase={PHRASE}")

    with pytest.raises(ConfigurationError, match="malformed") as failure:
        await oci_credentials().get()
    assert PHRASE not in str(failure.value)


@pytest.mark.parametrize("phrase", [None, "another phrase"])
async def test_wrong_passphrase(home: Path, phrase: str | None) -> None:
    """
    The error for a wrong passphrase does not contain the passphrase.
    """
    settings = {**identity(), "key_file": write_key(home, phrase=PHRASE), "pass_phrase": phrase}

    with pytest.raises(ConfigurationError, match="pass_phrase") as failure:
        await oci_credentials(settings=settings).get()
    assert "another phrase" not in str(failure.value)


@pytest.mark.parametrize("kind", ["public", "elliptic", "none"])
async def test_no_private_key(home: Path, kind: str) -> None:
    """
    Only private RSA keys are accepted.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    rsa = serialization.load_pem_private_key(user().private_key.encode(), None)
    curve = ec.generate_private_key(ec.SECP256R1())
    encoding, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pem = {
        "public": rsa.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo),
        "elliptic": curve.private_bytes(encoding, private, serialization.NoEncryption()),
        "none": b"no key",
    }[kind]

    with pytest.raises(ConfigurationError, match=r"RSA key|not a private key"):
        await oci_credentials(settings={**identity(), "key_content": pem.decode()}).get()


async def test_repr_has_no_secrets(home: Path) -> None:
    """
    The reprs of credentials and leases contain no secrets.
    """
    settings = {**identity(), "key_content": user().private_key}
    credentials = oci_credentials(settings=settings)
    lease = await credentials.get()

    shown = repr(credentials) + repr(lease) + repr(lease.value) + repr(credentials.__dict__["_methods"])
    assert "PRIVATE" not in shown
    assert readonly_user().private_key not in shown
