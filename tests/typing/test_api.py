"""
The type checker agrees with what callers write.
"""

from pathlib import Path

from mypy import api


def test_what_callers_write_is_well_typed(tmp_path: Path) -> None:
    path = Path(__file__).with_name("api.py")
    root = path.parents[2]
    found, errors, status = api.run(
        ["--strict", "--config-file", str(root / "pyproject.toml"), "--cache-dir", str(tmp_path), str(path)]
    )

    assert (0, "") == (status, errors), found
