"""
The files of the demo: a tree like that of a model, reproducible, generated in small chunks.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from asyncstore.errors import ConfigurationError
from asyncstore.options import KiB, MiB

_BLOCK: Final = 1 * MiB
# Blocks start at different offsets of one random buffer, so that no two are the same.
_SLIDE: Final = 64 * KiB
_SEED: Final = 20_260
_SMALL: Final = 32 * KiB
_SHARD: Final = 64 * MiB
_INDEX: Final = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Content:
    """
    One file of the tree: *head*, then *rest* bytes that are derived from its name.
    """

    key: str
    head: bytes
    rest: int

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.head) + self.rest


class Model:
    """
    A tree of *files* files with *size* bytes in total: a few shards, their index, many small files.
    """

    def __init__(self, size: int, files: int) -> None:
        if files < 4:
            raise ConfigurationError(f"--files must be at least 4, not {files}")
        if size < files * KiB:
            raise ConfigurationError(f"--size must be at least 1 KiB for each of the {files} files")
        self._noise = random.Random(_SEED).randbytes(_BLOCK + _SLIDE)  # noqa: S311 - only to look like data
        self.contents = _contents(size, files)
        self.size = sum(content.size for content in self.contents)

    def chunks(self, content: Content) -> Iterator[bytes]:
        """
        Yield the bytes of one file, in chunks of at most 1 MiB.
        """
        if content.head:
            yield content.head
        start = int.from_bytes(hashlib.sha256(content.key.encode()).digest()[:4])
        for number, offset in enumerate(range(0, content.rest, _BLOCK)):
            stamp = f"{content.key}#{number}\n".encode()
            at = (start + number * 4099) % _SLIDE
            size = min(_BLOCK, content.rest - offset)
            yield (stamp + self._noise[at : at + _BLOCK - len(stamp)])[:size]

    def write(self, content: Content, root: Path) -> None:
        """
        Write one file; runs in a thread.
        """
        path = root / content.key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb", buffering=0) as file:
            for chunk in self.chunks(content):
                file.write(chunk)

    def differs(self, content: Content, root: Path) -> str | None:
        """
        Compare one file with its expected content, and describe the first difference; runs in a thread.
        """
        try:
            with (root / content.key).open("rb", buffering=0) as file:
                return self._compare(content, file)
        except OSError as exc:
            return f"{content.key}: {exc.strerror}"

    def _compare(self, content: Content, file: BinaryIO) -> str | None:
        offset = 0
        for expected in self.chunks(content):
            actual = _read(file, len(expected))
            if actual != expected:
                first = next((n for n, (a, b) in enumerate(zip(actual, expected, strict=False)) if a != b), len(actual))
                return f"{content.key}: differs at byte {offset + first}"
            offset += len(expected)
        return f"{content.key}: longer than {offset} bytes" if file.read(1) else None


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


def _contents(size: int, files: int) -> Sequence[Content]:
    shards = min(max(2, size // _SHARD), 64, files - 2)
    others = [_small(number) for number in range(files - shards - 2)]
    # Small files take at most a quarter of the total.
    scale = min(1.0, size / 4 / max(1, sum(others)))
    small = [Content(_name(number), b"", max(1, int(each * scale))) for number, each in enumerate(others)]
    config = _config(shards)
    index = _index(shards)
    left = max(shards, size - sum(content.size for content in (*small, config, index)))
    sizes = [left // shards + (left % shards if number == 0 else 0) for number in range(shards)]
    heads = [_safetensors(number, each) for number, each in enumerate(sizes)]
    return [config, index, *small, *(_shard(number, shards, head) for number, head in enumerate(heads))]


def _small(number: int) -> int:
    return 1 + int.from_bytes(hashlib.sha256(b"%d" % number).digest()[:4]) % (2 * _SMALL)


def _name(number: int) -> str:
    folder = ("tokenizer", "adapters/lora", "evaluation/results", "logs")[number % 4]
    return f"{folder}/{number:05}.json"


def _shard_name(number: int, shards: int) -> str:
    return f"model-{number + 1:05}-of-{shards:05}.safetensors"


def _shard(number: int, shards: int, head: tuple[bytes, int]) -> Content:
    return Content(_shard_name(number, shards), *head)


def _safetensors(number: int, size: int) -> tuple[bytes, int]:
    # The layout of safetensors: length of the header, header, data.
    rest = max(0, size - 128)
    tensor = {"dtype": "U8", "shape": [rest], "data_offsets": [0, rest]}
    text = json.dumps({f"model.layers.{number}.weight": tensor}).encode().ljust(120)
    return len(text).to_bytes(8, "little") + text, rest


def _config(shards: int) -> Content:
    return _text("config.json", {"architectures": ["DemoForCausalLM"], "num_hidden_layers": shards})


def _index(shards: int) -> Content:
    weights = {f"model.layers.{number}.weight": _shard_name(number, shards) for number in range(shards)}
    return _text(_INDEX, {"metadata": {}, "weight_map": weights})


def _text(key: str, document: Mapping[str, object]) -> Content:
    return Content(key, json.dumps(document, indent=2).encode(), 0)
