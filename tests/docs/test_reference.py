"""
The reference says what the code does.
"""

from __future__ import annotations

import pytest

from tests.docs.blocks import ROOT
from tests.docs.reference import PAGES


@pytest.mark.parametrize("name", PAGES)
def test_page_is_current(name: str) -> None:
    """
    The page is what the code makes of it now; ``python -m tests.docs.reference`` writes it.
    """
    page = (ROOT / "docs" / "reference" / name).read_text("utf-8")

    assert page == PAGES[name]()
