"""
Options of files that get the content type of their names.
"""

from dataclasses import replace

from asyncstore.drivers.memory.driver import CAPABILITIES
from asyncstore.engine.upload import content_type
from asyncstore.engine.upload.content_type import with_content_type
from asyncstore.options import UploadOptions
from tests.build import ROOT


def typed(options: UploadOptions, key: str) -> UploadOptions:
    return with_content_type(options, CAPABILITIES, ROOT / key)


def test_the_files_of_a_bulk_share_them() -> None:
    """
    Options are made and checked once for each content type, not for each file.
    """
    options = UploadOptions(metadata={"a": "b"})
    first = typed(options, "1.json")

    assert replace(options, content_type="application/json") == first
    assert all(typed(options, f"{number}.json") is first for number in range(100))
    assert "text/html" == typed(options, "1.html").content_type
    assert first is typed(options, "2.json")


def test_options_that_are_gone_are_not_mixed_up() -> None:
    """
    Others that get the memory of earlier ones keep their own values, and few are kept.
    """
    for number in range(1000):
        made = typed(UploadOptions(storage_class=str(number)), "1.json")
        assert (str(number), "application/json") == (made.storage_class, made.content_type)
    assert len(content_type._typed) <= 64


def test_a_dictionary_that_changes() -> None:
    options = UploadOptions()
    typed(options, "1.json")
    assert isinstance(options.metadata, dict)
    options.metadata["a"] = "b"

    assert {"a": "b"} == typed(options, "2.json").metadata
