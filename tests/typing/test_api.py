"""
Typical calls of the public interface pass the type checker.
"""

from pathlib import Path

from mypy import api


def test_public_interface_is_typed(tmp_path: Path) -> None:
    """
    mypy in strict mode finds no errors in ``api.py``.
    """
    path = Path(__file__).with_name("api.py")
    root = path.parents[2]
    found, errors, status = api.run(
        ["--strict", "--config-file", str(root / "pyproject.toml"), "--cache-dir", str(tmp_path), str(path)]
    )

    assert (0, "") == (status, errors), found
