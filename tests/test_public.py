"""
The public interface of the package.
"""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import asyncstore

_SDKS = {"aiobotocore", "botocore", "boto3", "gcloud", "azure", "oci", "typer", "rich", "awscrt", "opentelemetry"}


def test_import_loads_no_sdk() -> None:
    """
    Importing the package loads no SDK and no native code.
    """
    program = "import sys, asyncstore; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert "asyncstore" in loaded
    assert _SDKS.isdisjoint(loaded)


def test_all_is_sorted_and_complete() -> None:
    """
    ``__all__`` names everything public, in order.
    """
    public = {name for name, value in vars(asyncstore).items() if name[0] != "_" and not inspect.ismodule(value)}

    assert sorted(asyncstore.__all__) == asyncstore.__all__
    assert public == set(asyncstore.__all__) - {"__version__"}


@pytest.mark.parametrize("name", [name for name in asyncstore.__all__ if name != "__version__"])
def test_public_names_have_docstrings(name: str) -> None:
    """
    Every public name and public method has a docstring.
    """
    value = getattr(asyncstore, name)
    if inspect.isclass(value) and value.__module__ == "asyncstore.protocols":
        assert value.__doc__
        return
    if inspect.isclass(value) or inspect.isfunction(value):
        assert inspect.getdoc(value), name
    if inspect.isclass(value):
        silent = [
            method
            for method, function in vars(value).items()
            if method[0] != "_" and inspect.isfunction(function) and not function.__doc__
        ]
        assert silent == []


@pytest.mark.parametrize("uri", ["memory://bucket", "file:///tmp/asyncstore-none"])
def test_storages_without_a_service_do_not_load_http(uri: str) -> None:
    """
    aiohttp takes longer to import than everything else.
    """
    program = f"import sys; from asyncstore import open_storage; open_storage({uri!r}); print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50)

    assert done.stdout == "False\n"
