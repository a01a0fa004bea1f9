"""
The file service of docs/examples as a module.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

EXAMPLE: Final = Path(__file__).parents[2] / "docs" / "examples" / "file_service"


@contextmanager
def load() -> Iterator[ModuleType]:
    """
    Import it for the time of the block.
    """
    spec = spec_from_file_location("file_service", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["file_service"] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules["file_service"]
