"""
Generates ``asyncstore/sync/storage.py`` from the asynchronous verbs: ``python -m tests.docs.sync_verbs``.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_overloads

import asyncstore
from asyncstore.storage import Storage
from asyncstore.sync import storage as generated
from tests.docs.blocks import ROOT

FILE = Path(generated.__file__)

#: Verbs that the blocking storage has not, and why.
ABSENT = {
    "aclose": "close() is its blocking form",
    "credentials": "their methods are coroutines: storage.asynchronous.credentials has them",
    "native": "clients of the providers' SDKs are used in an event loop: storage.asynchronous.native() opens one",
    "root": "it is in the base",
}

#: Functions of the package that take or return storages.
FUNCTIONS = (
    "cached",
    "compare_trees",
    "copy_between",
    "copy_tree",
    "delete_tree",
    "download_tree",
    "read_only",
    "replicated",
    "routed",
    "sync_tree",
    "throttled",
    "under",
    "upload_tree",
)

_HEADER = '''"""
Blocking forms of every verb of a storage, and of the functions that take storages.

Made by ``python -m tests.docs.sync_verbs`` from the asynchronous ones; a test compares. Their documentation is that
of the asynchronous ones.
"""

from __future__ import annotations

'''

_OPENING = "asyncstore._support.awaitable_context"
_FILES = {"ObjectReader": "File[bytes]", "ObjectWriter": "File[bytes]", "Any": "File[Any]"}


def module() -> str:
    """
    Return the text of the module.
    """
    body = [_storage(), _open_storage(), *(_function(name) for name in FUNCTIONS)]
    text = "\n\n\n".join(body) + "\n"
    return _formatted(_HEADER + "\n".join(_imports(text)) + "\n\n" + _constants(text) + "\n\n" + text)


def _storage() -> str:
    lines = [
        "class Storage(StorageWrapper):",
        '    """',
        "    The objects of one provider under a bucket or prefix: the blocking :class:`asyncstore.Storage`.",
        "",
        "    Returned by :func:`asyncstore.sync.open_storage`. Threads can share it.",
        '    """',
        "",
    ]
    for name, member in sorted(inspect.getmembers(Storage)):
        if name.startswith("_") or name in ABSENT:
            continue
        lines += _property(name) if isinstance(member, property) else _method(name, member)
    return "\n".join(lines).rstrip()


def _property(name: str) -> list[str]:
    found = inspect.getattr_static(Storage, name)
    returned = found.fget.__annotations__["return"]
    return [
        "    @property",
        f"    def {name}(self) -> {returned}:",
        f'        """{inspect.getdoc(found)}"""',
        f"        return self.asynchronous.{name}",
        "",
    ]


def _method(name: str, verb: Callable[..., Any]) -> list[str]:
    lines = []
    for variant in get_overloads(verb):
        signature = inspect.signature(variant)
        lines += ["    @overload", f"    def {name}({_parameters(signature)}) -> {_returned(signature)}: ...", ""]
    signature = inspect.signature(verb)
    lines += [f"    def {name}({_parameters(signature)}) -> {_returned(signature)}:"]
    lines += [f'        """Blocking form of :meth:`asyncstore.Storage.{name}`."""']
    lines += [f"        {line}" for line in _call(name, verb, signature)]
    return [*lines, ""]


def _call(name: str, verb: Callable[..., Any], signature: inspect.Signature) -> list[str]:
    passed = _passed(signature, skip_self=True)
    target = f"self.asynchronous.{name}"
    separated = f"{target}, {passed}" if passed else target
    if inspect.iscoroutinefunction(verb):
        return [f"return self._run({separated})"]
    if inspect.isasyncgenfunction(verb):
        return [f"return self._items({separated})"]
    if name == "get":
        return [f"return StreamContext(self._background, lambda: {target}({passed}))"]
    if name == "open":
        # Its overloads take apart what this one passes on whole.
        return [f"verb: Callable[..., Opening[Any]] = {target}", f"return File(self._background, verb({passed}))"]
    if name == "wrapped":
        return [f"return Storage({target}(wrap, root=root, others=[other.asynchronous for other in others]))"]
    return [f"return {target}({passed})"]


def _open_storage() -> str:
    signature = inspect.signature(asyncstore.open_storage)
    return "\n".join(
        [
            f"def open_storage({_parameters(signature)}) -> Storage:",
            '    """Blocking form of :func:`asyncstore.open_storage`; close it with :meth:`Storage.close`."""',
            f"    return Storage(asyncstore.open_storage({_passed(signature)}))",
        ]
    )


def _function(name: str) -> str:
    function = getattr(asyncstore, name)
    signature = inspect.signature(function)
    passed = _passed(signature)
    lines = [f"def {name}({_parameters(signature)}) -> {_returned(signature)}:"]
    lines += [f'    """Blocking form of :func:`asyncstore.{name}`."""']
    if inspect.iscoroutinefunction(function):
        lines += [f"    return run(asyncstore.{name}, {passed})"]
    elif inspect.isasyncgenfunction(function):
        lines += [f"    return items(asyncstore.{name}, {passed})"]
    else:
        lines += [f"    return Storage(asyncstore.{name}({_unwrapped(passed, signature)}))"]
    return "\n".join(lines)


def _unwrapped(passed: str, signature: inspect.Signature) -> str:
    arguments = []
    for argument in passed.split(", "):
        name = (argument.partition("=")[2] or argument).removeprefix("*")
        hint = str(signature.parameters[name].annotation)
        if argument.startswith("*"):
            argument = f"*[storage.asynchronous for storage in {name}]"
        elif hint == "Storage":
            argument = f"{name}.asynchronous"
        elif "Storage" in hint:
            argument = f"{{key: value.asynchronous for key, value in {name}.items()}}"
        arguments.append(argument)
    return ", ".join(arguments)


def _parameters(signature: inspect.Signature) -> str:
    parts: list[str] = []
    for item in signature.parameters.values():
        if item.kind is item.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        hint = re.sub(r"\bTree\b", "Storage | Path", str(item.annotation))
        if item.kind is item.VAR_POSITIONAL:
            parts.append(f"*{item.name}: {hint}")
        elif item.kind is item.VAR_KEYWORD:
            parts.append(f"**{item.name}: {hint}")
        elif item.name == "self":
            parts.append("self")
        else:
            parts.append(f"{item.name}: {hint}" + ("" if item.default is item.empty else f" = {_default(item)}"))
    return ", ".join(parts)


def _default(item: inspect.Parameter) -> str:
    value = item.default
    if value is ...:
        return "..."
    if type(value).__module__ in (
        "asyncstore.options",
        "asyncstore.storage.tree_options",
        "asyncstore.storage.compare",
    ):
        name = f"_{re.sub('(?<!^)(?=[A-Z])', '_', type(value).__name__).upper()}"
        _CONSTANTS[name] = value
        return name
    return repr(value).removeprefix("datetime.")


_CONSTANTS: dict[str, Any] = {}


def _constants(text: str) -> str:
    """The default options, which are those of the asynchronous verbs themselves: some are compared by identity."""
    return "\n".join(
        f"{name}: Final = {_source_of(value)}" for name, value in sorted(_CONSTANTS.items()) if name in text
    )


def _source_of(value: Any) -> str:
    if value == type(value)():
        return f"{type(value).__name__}()"
    raise ValueError(f"a default that is not the default of its class: {value!r}")


def _passed(signature: inspect.Signature, *, skip_self: bool = False) -> str:
    parts = []
    for item in signature.parameters.values():
        if skip_self and item.name == "self":
            continue
        if item.kind is item.VAR_POSITIONAL:
            parts.append(f"*{item.name}")
        elif item.kind is item.VAR_KEYWORD:
            parts.append(f"**{item.name}")
        else:
            parts.append(f"{item.name}={item.name}" if item.kind is item.KEYWORD_ONLY else item.name)
    return ", ".join(parts)


def _returned(signature: inspect.Signature) -> str:
    hint = str(signature.return_annotation)
    if match := re.fullmatch(r"Async(?:Iterator|Generator)\[(.*?)(?:, None)?\]", hint):
        return f"Items[{match[1]}]"
    if hint == "AbstractAsyncContextManager[ReadStream]":
        return "StreamContext"
    if match := re.fullmatch(r"Opening\[(\w+)(?:\[(\w+)\])?\]", hint):
        return f"File[{match[2]}]" if match[2] else _FILES[match[1]]
    return hint


def _imports(text: str) -> Iterator[str]:
    names = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    names |= {name for name in re.findall(r"\b[A-Za-z_]\w*\b", text) if name in _known()}
    here = {"Storage", "self", *FUNCTIONS, "open_storage"}
    yield "import asyncstore"
    yield "from typing import Final"
    yield "from asyncstore.sync.files import File, Items, StreamContext"
    yield "from asyncstore.sync.wrapper import StorageWrapper, items, run"
    typing_only = []
    for name in sorted(names - here):
        if name in _known():
            module_name = _known()[name]
            if module_name == "typing_extensions":
                typing_only.append(name)
            else:
                yield f"from {module_name} import {name}"
    for name in typing_only:
        yield "from typing import TYPE_CHECKING"
        yield "if TYPE_CHECKING:\n    # collections.abc has it since Python 3.12."
        yield f"    from typing_extensions import {name}\n"


@cache
def _known() -> dict[str, str]:
    """Every name that the modules of the verbs import or define, and the module that it is from."""
    modules = {base.__module__ for base in Storage.__mro__ if base is not object}
    modules |= {getattr(asyncstore, name).__module__ for name in (*FUNCTIONS, "open_storage")}
    found: dict[str, str] = {}
    for module_name in sorted(modules):
        for name, value in vars(import_module(module_name)).items():
            if name == "Change" or getattr(value, "__module__", None) == module_name:
                found[name] = module_name
        source = inspect.getsource(import_module(module_name))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    if alias.name != "annotations":
                        found.setdefault(alias.name, node.module)
    return found | {"timedelta": "datetime", "overload": "typing", "Any": "typing", "Opening": _OPENING}


def _formatted(text: str) -> str:
    for command in (("check", "-q", "--select", "I,F401", "--fix", "-"), ("format", "-q", "-")):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", "asyncstore/sync/storage.py"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    return text


if __name__ == "__main__":
    FILE.write_text(module(), "utf-8")
