"""
The headers of an object in a reply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from asyncstore.engine.upload.content_type import guess
from asyncstore.http.header_values import http_date
from asyncstore.integrations.http_serving.conditions import Tag
from asyncstore.types import UNKNOWN, Metadata

#: Media types that say nothing: what providers store where the writer named none.
_UNTYPED: Final = frozenset({None, "", "application/octet-stream", "binary/octet-stream"})
_DEFAULT_TYPE: Final = "application/octet-stream"

# token: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# What a quoted string cannot have, and what old clients unescape in it:
# https://www.rfc-editor.org/rfc/rfc6266#appendix-D
_UNQUOTABLE: Final = re.compile(r"[^ !#$&-\[\]-~]")
# attr-char: https://www.rfc-editor.org/rfc/rfc8187#section-3.2.1
_ATTR: Final = "!#$&+-.^_`|~"
# Bytes that would end a header.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")

Headers = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """
    How an object is offered to the client.

    Attributes:
        filename: The name to save it under; by default the last segment of its key.
        disposition: ``"attachment"`` to save it, ``"inline"`` to show it; ``None`` is what is stored with the
            object, else ``"attachment"``.
        content_type: Its media type; ``None`` is the stored one, else that of its suffix.
        cache_control: ``None`` is the stored one.
        version_id: This version instead of the current one.
    """

    filename: str | None = None
    disposition: Literal["attachment", "inline"] | None = None
    content_type: str | None = None
    cache_control: str | None = None
    version_id: str | None = None

    def type_of(self, info: Metadata) -> str:
        """
        Return the media type of an object.
        """
        found = self.content_type
        if found is None and info.content_type not in _UNTYPED:
            found = info.content_type
        return _clean(found or guess(info.key) or _DEFAULT_TYPE)

    def validators(self, info: Metadata) -> Headers:
        """
        Return the headers that a 304 has, too: https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5
        """
        headers: Headers = {}
        if tag := Tag.of(info):
            headers["ETag"] = _clean(str(tag))
        if info.last_modified is not None:
            headers["Last-Modified"] = http_date(info.last_modified)
        if cache_control := self.cache_control or info.cache_control:
            headers["Cache-Control"] = _clean(cache_control)
        return headers

    def headers(self, info: Metadata) -> Headers:
        """
        Return the headers of the whole object, without its length.
        """
        headers = self.validators(info)
        headers["Content-Type"] = self.type_of(info)
        headers["Content-Disposition"] = self._disposition_of(info)
        # The type is what the server says, not what the bytes look like to a browser:
        # https://fetch.spec.whatwg.org/#x-content-type-options-header
        headers["X-Content-Type-Options"] = "nosniff"
        if info.content_encoding:
            headers["Content-Encoding"] = _clean(info.content_encoding)
        if info.content_language:
            headers["Content-Language"] = _clean(info.content_language)
        if info.size != UNKNOWN:
            headers["Accept-Ranges"] = "bytes"
        return headers

    def _disposition_of(self, info: Metadata) -> str:
        if self.disposition is None and self.filename is None and info.content_disposition:
            return _clean(info.content_disposition)
        name = self.filename if self.filename is not None else info.key.rstrip("/").rpartition("/")[2]
        return content_disposition(name, self.disposition or "attachment")


def content_disposition(filename: str, disposition: str = "attachment") -> str:
    """
    Return a ``Content-Disposition`` with a file name in any characters, as RFC 6266 and RFC 8187 say.

    Control characters become spaces: no client needs them, and some refuse the header.
    """
    if _TOKEN.fullmatch(disposition) is None:
        raise ValueError(f"a disposition is a word such as attachment or inline, not {disposition!r}")
    name = _CONTROLS.sub(" ", filename).strip()
    if not name:
        return disposition
    plain = _UNQUOTABLE.sub("_", name)
    if plain == name:
        return f'{disposition}; filename="{name}"'
    # For clients that do not know the second form.
    encoded = quote(name.encode("utf-8", "replace"), safe=_ATTR)
    return f"{disposition}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _clean(value: str) -> str:
    # Stored text can have any character; what is not Latin-1 cannot be sent.
    return _CONTROLS.sub(" ", value).encode("latin-1", "replace").decode("latin-1")
