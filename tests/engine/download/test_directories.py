"""
Directories that several threads make and remove.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from asyncstore.engine.download.directories import Directories


def test_threads_leave_no_directory(tmp_path: Path) -> None:
    """
    What one thread removes, another makes at the same moment; whoever is the last removes it.
    """
    directories = Directories()
    folder = tmp_path / "a" / "b"

    def fail_often(number: int) -> None:
        for _ in range(1000):
            # As a file that is not found is created: the directory may be gone again.
            with suppress(FileNotFoundError):
                directories.make(str(folder))
                file = folder / str(number)
                file.touch()
                file.unlink()
            directories.remove_made(str(folder))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(fail_often, range(4)))

    assert list(tmp_path.iterdir()) == []


def test_directories_with_a_file_are_kept(tmp_path: Path) -> None:
    directories = Directories()
    folder = tmp_path / "a" / "b"
    directories.make(str(folder))
    (folder / "file").touch()
    directories.keep(str(folder))
    (folder / "file").unlink()
    directories.remove_made(str(folder))

    assert folder.is_dir()
