"""
Check the wheel and the sdist of a release: what is in them, and what they say about themselves.

    python .ci/package.py FOLDER
"""

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath

# Far more than they have: a data set or a cache would be more.
MOST_BYTES = 3 * 1024 * 1024

# Other than Python, in the wheel.
OTHERS = {"asyncstore/py.typed"}

# At the top of the sdist. Hatchling adds the second line.
TOP = {"README.md", "asyncstore", "docs", "pyproject.toml"} | {".gitignore", "PKG-INFO"}


def main(folder: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    check_wheel(wheel)
    check_sdist(sdist)
    for path in (wheel, sdist):
        assert path.stat().st_size < MOST_BYTES, f"{path.name} has {path.stat().st_size:,} bytes"
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)], check=True)


def check_wheel(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = [PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")]
        package = {name for name in names if name.parts[0] == "asyncstore"}
        (info,) = {name.parts[0] for name in names} - {"asyncstore"}
        metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        assert b"Apache License" in archive.read(f"{info}/licenses/docs/LICENSE")

    assert {str(name) for name in package if name.suffix != ".py"} == OTHERS
    sources = {PurePosixPath(path.as_posix()) for path in Path("asyncstore").rglob("*.py")}
    assert not sources or {name for name in package if name.suffix == ".py"} == sources
    assert "asyncstore = asyncstore.cli:main" in entry_points
    assert "asyncstore = asyncstore.testing.fixtures" in entry_points
    check_metadata(metadata)


def check_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "asyncstore"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    needed = [item for item in metadata.get_all("Requires-Dist", []) if "extra ==" not in item]
    # A bare installation has only these and their own dependencies, and no SDK.
    assert {item.partition(">")[0] for item in needed} == {"aiohttp", "anyio", "awscrt", "tenacity"}, needed


def check_sdist(path: Path) -> None:
    with tarfile.open(path) as archive:
        names = [PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()]
    assert {name.parts[0] for name in names if name.parts} == TOP
    assert not [name for name in names if name.suffix in (".pyc", ".key", ".pem") or "__pycache__" in name.parts]
    assert PurePosixPath("docs/LICENSE") in names


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    print("wheel and sdist: as they should be")
