"""
Multipart forms, parsed while they arrive: https://www.rfc-editor.org/rfc/rfc7578

Nothing is kept but the chunk that is being parsed: a file of a form is an asynchronous iterable that a storage takes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, Unpack

from asyncstore.integrations.http_serving.problems import RequestBodyError, UnsupportedBodyError
from asyncstore.integrations.http_serving.upload import check_head, limited
from asyncstore.keywords import UploadFields
from asyncstore.options import KiB
from asyncstore.protocols import ProgressSink
from asyncstore.storage import Storage
from asyncstore.types import ObjectInfo
from asyncstore.uri import ObjectURI

#: Most bytes of a field that is not a file.
MAX_FIELD: Final = 64 * KiB
#: Most fields and files of a form.
MAX_PARTS: Final = 1000

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")
# What is between semicolons, which can be in quotation marks.
_PARAMETER: Final = re.compile(r';((?:[^";]|"(?:[^"\\]|\\.)*"|")*)')


class FormPart:
    """
    A field or a file of a form, to be read before the next one.

    Attributes:
        name: The name of the field.
        is_file: Whether it is of an input for files.
        filename: The name of the file without folders and control characters; ``None`` for a field that is not a file,
            or where the user has chosen no file.
        content_type: Its media type, if the client names one.
    """

    def __init__(self, headers: Mapping[str, str], chunks: AsyncGenerator[bytes, None]) -> None:
        disposition, parameters = _parameters(headers.get("content-disposition", ""))
        if disposition != "form-data" or "name" not in parameters:
            raise RequestBodyError("a part of the form has no Content-Disposition of form-data with a name")
        self.name = parameters["name"]
        self.is_file = "filename" in parameters
        self.filename = _base_name(parameters.get("filename", ""))
        self.content_type = headers.get("content-type")
        self._chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        """
        Yield its bytes as they arrive.
        """
        return self._chunks

    async def text(self, max_size: int = MAX_FIELD) -> str:
        """
        Return a field that is not a file.

        Raises:
            BodyTooLargeError: It has more than *max_size* bytes.
            RequestBodyError: It is not UTF-8.
        """
        data = b"".join([chunk async for chunk in limited(self, max_size)])
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise RequestBodyError(f"the field {self.name!r} of the form is not UTF-8") from None


def form_parts(
    headers: Mapping[str, str], chunks: AsyncIterable[bytes], *, max_size: int
) -> AsyncGenerator[FormPart, None]:
    """
    Yield the fields and files of a form, in their order; what is not read of one is skipped.

    Args:
        headers: Of the request; names in lower case.
        chunks: Its body.
        max_size: Most bytes of the body, with the names and boundaries in it.

    Raises:
        UnsupportedBodyError: The body is not a multipart form.
        BodyTooLargeError: It is larger than *max_size*.
        RequestBodyError: It is malformed, ends too early, or has more than :data:`MAX_PARTS` parts.
    """
    check_head(headers, max_size)
    media_type, parameters = _parameters(headers.get("content-type", ""))
    if media_type != "multipart/form-data" or not parameters.get("boundary"):
        raise UnsupportedBodyError("the body is not a form of the type multipart/form-data")
    return _Form(parameters["boundary"], limited(chunks, max_size)).parts()


@dataclass(frozen=True, slots=True)
class StoredFile:
    """
    A file of a form that is an object now.

    Attributes:
        name: The name of its field.
        filename: The name that the client gave it.
        info: The object.
    """

    name: str
    filename: str
    info: ObjectInfo


@dataclass(frozen=True, slots=True)
class StoredForm:
    """
    A form whose files are objects.

    Attributes:
        files: In their order.
        fields: The other fields, with all values of each.
    """

    files: list[StoredFile] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=dict)


#: Returns the key of the object that a file becomes.
Target = Callable[[FormPart], str | ObjectURI]


async def store_files(
    storage: Storage,
    parts: AsyncGenerator[FormPart, None],
    uri_of: Callable[[FormPart], ObjectURI],
    *,
    progress: ProgressSink | None,
    **fields: Unpack[UploadFields],
) -> StoredForm:
    """
    Write each file of a form as an object of its own, one after the other.

    If one fails, those before it stay.
    """
    form = StoredForm()
    async with aclosing(parts):
        async for part in parts:
            if not part.is_file:
                form.fields.setdefault(part.name, []).append(await part.text())
                continue
            if part.filename is None:
                continue
            options: Any = {**_described(storage, part), **fields}
            info = await storage.put(uri_of(part), part, progress=progress, **options)
            form.files.append(StoredFile(part.name, part.filename, info))
    return form


def _described(storage: Storage, part: FormPart) -> dict[str, str]:
    return {"content_type": part.content_type} if part.content_type and storage.capabilities.content_type else {}


class _Form:
    """
    The parts of a form, from the callbacks of a parser, which come for a whole chunk at once.
    """

    def __init__(self, boundary: str, chunks: AsyncGenerator[bytes, None]) -> None:
        parser, self._error = _parser()
        self._chunks = chunks
        # The headers of a part, bytes of its body, or its end.
        self._events: deque[dict[str, str] | bytes | None] = deque()
        self._headers: dict[str, str] = {}
        self._name = self._value = b""
        self._within = False
        self._complete = False
        callbacks = {
            "on_part_data": self._data,
            "on_part_end": lambda: self._events.append(None),
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_end": self._end,
        }
        try:
            self._parser = parser(boundary, callbacks)
        except self._error as exc:
            raise RequestBodyError("the boundary of the form is not valid") from exc

    async def parts(self) -> AsyncGenerator[FormPart, None]:
        count = 0
        async with aclosing(self._chunks):
            while await self._more():
                headers = self._events.popleft()
                assert isinstance(headers, dict)
                count += 1
                if count > MAX_PARTS:
                    raise RequestBodyError(f"the form has more than {MAX_PARTS} parts")
                self._within = True
                async with aclosing(self._body()) as body:
                    yield FormPart(headers, body)
                # Who writes it closes it, read to its end or not.
                async with aclosing(self._body()) as rest:
                    async for _ in rest:
                        pass

    async def _body(self) -> AsyncGenerator[bytes, None]:
        while self._within and await self._more():
            event = self._events.popleft()
            if event is None:
                self._within = False
                return
            assert isinstance(event, bytes)
            yield event

    async def _more(self) -> bool:
        """
        Return whether there is another event, once it has arrived.
        """
        while not self._events:
            if self._complete:
                return False
            chunk = await anext(self._chunks, None)
            if chunk is None:
                raise RequestBodyError("the form ends before its last boundary")
            try:
                self._parser.write(chunk)
            except self._error as exc:
                raise RequestBodyError("the form is malformed") from exc
        return True

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        self._events.append(self._headers)
        self._headers = {}

    def _end(self) -> None:
        self._complete = True


def _parser() -> tuple[type[Any], type[Exception]]:
    try:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import MultipartParser
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "python-multipart, which reads forms, is not installed: "
            "pip install 'asyncstore[fastapi]' or 'asyncstore[aiohttp]'"
        ) from None
    return MultipartParser, FormParserError


def _parameters(header: str) -> tuple[str, dict[str, str]]:
    """
    Return the first word of a header in lower case, and its parameters.

    Browsers send names of files in UTF-8, with ``%22`` for a quotation mark and ``%0D%0A`` for a line break:
    https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
    """
    word, *rest = _PARAMETER.findall(";" + header)
    parameters: dict[str, str] = {}
    for text in rest:
        name, equals, value = text.partition("=")
        value = value.strip()
        if value[:1] == '"' and value[-1:] == '"' and len(value) > 1:
            value = value[1:-1].replace('\\"', '"').replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
        if equals:
            parameters.setdefault(name.strip().lower(), value)
    return word.strip().lower(), parameters


def _base_name(filename: str) -> str | None:
    if not filename:
        return None
    # Path information is not to be used: https://www.rfc-editor.org/rfc/rfc7578#section-4.2
    name = _CONTROLS.sub("", filename.replace("\\", "/").rpartition("/")[2]).strip()
    return "unnamed" if name in ("", ".", "..") else name
