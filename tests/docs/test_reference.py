"""
The reference pages are generated from the current code.
"""

from __future__ import annotations

from dataclasses import fields

import pytest

from asyncstore.options import PostOptions, PresignOptions
from asyncstore.testing.conformance.options import PROBES
from asyncstore.testing.conformance.presigning import BOUND
from tests.docs import settings_types
from tests.docs.blocks import ROOT
from tests.docs.reference import CLIENT_OPTIONS, OPTIONS, PAGES

#: Options that the conformance suite tests elsewhere: storage classes by a setting of the suite, and versions in
#: buckets that keep them, and what protects objects in buckets that allow it; no reply names an access list.
_ELSEWHERE = {
    *("storage_class", "version_id", "source_version_id"),
    *("retention", "legal_hold", "bypass_retention", "acl"),
}


@pytest.mark.parametrize("name", PAGES)
def test_page_is_current(name: str) -> None:
    """
    The page is up to date; ``python -m tests.docs.reference`` updates it.
    """
    page = (ROOT / "docs" / "reference" / name).read_text("utf-8")

    assert page == PAGES[name]()


def test_settings_are_typed() -> None:
    """
    Type checkers know every setting; ``python -m tests.docs.settings_types`` updates them.
    """
    assert settings_types.FILE.read_text("utf-8") == settings_types.module()


def test_every_option_is_tested_with_every_provider() -> None:
    """
    A new option joins the conformance suite, so that no driver ignores it.
    """
    signed = (PresignOptions, PostOptions)
    sent = {item.name for kind in OPTIONS if kind not in signed for item in fields(kind)} - CLIENT_OPTIONS

    assert {name.partition(".")[2] for name in PROBES} - CLIENT_OPTIONS | _ELSEWHERE == sent
    assert {name for values in BOUND.values() for name in values} == {item.name for item in fields(PresignOptions)}
