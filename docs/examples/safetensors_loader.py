"""
Loads the tensors that are asked for from a safetensors file on any provider, without the rest of the file.

    python safetensors_loader.py s3://models/llama/model.safetensors            # lists the tensors
    python safetensors_loader.py s3://models/llama/model.safetensors lm_head.weight

The format is https://huggingface.co/docs/safetensors#format: the size of the header in 8 bytes, the header in JSON, the
bytes of all tensors, little-endian. Tensors that are next to each other in the file are read together, each run of them
by concurrent requests straight into its memory; all requests are for the version whose header was read.
"""

import asyncio
import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from asyncstore import DownloadOptions, ObjectURI, RangeNotSatisfiableError, Storage, StorageError, open_storage
from asyncstore.options import KiB
from asyncstore.uri import parse_uri

# The header of most models fits, so that one request reads it.
_FIRST = 128 * KiB
# As the library of the format allows: https://github.com/huggingface/safetensors/blob/main/safetensors/src/tensor.rs
_LARGEST_HEADER = 100_000_000

# Bytes of an item, and its format for memoryview; None if Python has no such number.
_TYPES: Mapping[str, tuple[int, Any]] = {
    "BOOL": (1, "?"),
    "U8": (1, "B"),
    "I8": (1, "b"),
    "F8_E4M3": (1, None),
    "F8_E5M2": (1, None),
    "U16": (2, "H"),
    "I16": (2, "h"),
    "F16": (2, None),
    "BF16": (2, None),
    "U32": (4, "I"),
    "I32": (4, "i"),
    "F32": (4, "f"),
    "U64": (8, "Q"),
    "I64": (8, "q"),
    "F64": (8, "d"),
}


class FormatError(ValueError):
    """The object is not a safetensors file."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """
    A tensor of a file: its bytes are those of the object from *start* up to *end*.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    def view(self, data: memoryview) -> memoryview:
        """
        Return *data* with the items and shape of the tensor; as plain bytes if Python has no such number, or no shape.

        ``numpy.asarray()`` takes it without a copy, and so does ``torch.frombuffer(data, dtype=torch.bfloat16)``.
        """
        code = _TYPES[self.dtype][1]
        if code is None or sys.byteorder != "little":
            return data
        return data.cast(code, self.shape) if self.shape and len(data) else data.cast(code)


@dataclass(frozen=True, slots=True)
class Safetensors:
    """
    A safetensors file whose header was read.

    Attributes:
        tensors: Its tensors by name, in the order of their bytes.
        metadata: What its author has added.
    """

    uri: ObjectURI
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    storage: Storage
    options: DownloadOptions

    @classmethod
    async def open(cls, storage: Storage, uri: ObjectURI | str) -> Self:
        """
        Read the header of a file, by one request unless it is very long.

        Raises:
            FormatError: It is not a safetensors file.
        """
        try:
            async with storage.get(uri, range=(0, _FIRST)) as stream:
                info, head = stream.info, await stream.read()
        except RangeNotSatisfiableError:
            raise FormatError(f"{uri} is empty") from None
        # Of this version: the tensors of another one may be elsewhere.
        options = DownloadOptions(
            if_match=info.etag if storage.capabilities.conditional_read else None, version_id=info.version_id
        )
        size = int.from_bytes(head[:8], "little")
        if len(head) < 8 or not 2 <= size <= min(_LARGEST_HEADER, info.size - 8):
            raise FormatError(f"{info.uri} has no header of safetensors")
        header = bytearray(size)
        header[: len(head) - 8] = head[8 : 8 + size]
        if (missing := size + 8 - len(head)) > 0:
            with memoryview(header)[-missing:] as rest:
                await storage.read_into(uri, rest, range=(len(head), size + 8), options=options)
        tensors, metadata = _parse(bytes(header), 8 + size, info.size)
        return cls(info.uri, tensors, metadata, storage, options)

    async def load(self, names: Iterable[str]) -> dict[str, memoryview]:
        """
        Return the tensors of these names, each as a view of memory that is theirs alone or shared with its neighbours.

        Raises:
            KeyError: A tensor does not exist; nothing is read.
            ExceptionGroup: Of the errors of reads: PreconditionFailedError if the file was replaced meanwhile.
        """
        wanted = sorted({name: self.tensors[name] for name in names}.values(), key=lambda tensor: tensor.start)
        loaded: dict[str, memoryview] = {}
        async with asyncio.TaskGroup() as group:
            for run in _runs(wanted):
                group.create_task(self._load(run, loaded))
        return loaded

    async def _load(self, run: list[Tensor], loaded: dict[str, memoryview]) -> None:
        first, last = run[0].start, run[-1].end
        memory = memoryview(bytearray(last - first))
        if memory:
            count = await self.storage.read_into(self.uri, memory, range=(first, last), options=self.options)
            if count < len(memory):
                raise FormatError(f"{self.uri} ends before its tensors do")
        for tensor in run:
            loaded[tensor.name] = tensor.view(memory[tensor.start - first : tensor.end - first])


def _runs(tensors: list[Tensor]) -> list[list[Tensor]]:
    """
    Divide tensors, in the order of their bytes, into runs without gaps.
    """
    cuts = [number for number, (one, other) in enumerate(pairwise(tensors), 1) if one.end < other.start]
    return [tensors[start:end] for start, end in pairwise([0, *cuts, len(tensors)]) if start < end]


def _parse(header: bytes, offset: int, size: int) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        entries: dict[str, Any] = json.loads(header)
        metadata = dict(entries.pop("__metadata__", {}))
        tensors = [_tensor(name, entry, offset) for name, entry in entries.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise FormatError(f"the header is not that of a safetensors file: {exc!r}") from exc
    at = offset
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start != at:
            raise FormatError(f"{tensor.name} begins at byte {tensor.start} and not at {at}, the end of the one before")
        at = tensor.end
    if at != size:
        raise FormatError(f"the tensors end at byte {at}, and the file has {size}")
    return {tensor.name: tensor for tensor in sorted(tensors, key=lambda tensor: tensor.start)}, metadata


def _tensor(name: str, entry: Mapping[str, Any], offset: int) -> Tensor:
    start, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if not all(isinstance(number, int) and number >= 0 for number in (start, end, *shape)):
        raise ValueError(f"{name} has a negative or fractional size")
    if end - start != math.prod(shape) * _TYPES[entry["dtype"]][0]:
        raise ValueError(f"{name} has {end - start} bytes, which is not its shape")
    return Tensor(name, entry["dtype"], shape, offset + start, offset + end)


async def main(uri: str, names: list[str]) -> None:
    """
    Print the tensors of a file, or load those that are named.
    """
    target = parse_uri(uri)
    async with open_storage(target.with_key("")) as storage:
        file = await Safetensors.open(storage, target)
        for name, data in (await file.load(names)).items():
            sys.stdout.write(f"{name}: {data.nbytes} bytes, first item {data.tobytes()[: data.itemsize].hex()}\n")
        for tensor in file.tensors.values() if not names else ():
            sys.stdout.write(f"{tensor.name}: {tensor.dtype} {list(tensor.shape)}\n")


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2:]))
    except (IndexError, KeyError, ValueError, StorageError) as error:
        sys.exit(f"usage: safetensors_loader.py URI [TENSOR ...]: {error}")
