"""
Finds the public names, and writes the pages of their reference.

A name is public if its module lists it in ``__all__``, re-exports it by ``import name as name``, or, in a module that
does neither, defines it without a leading underscore.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

#: The pages of the names of ``asyncstore`` itself: a title, and the modules whose definitions they have.
TOPICS: Mapping[str, tuple[str, ...]] = {
    "Storages": ("storage.storage", "storage.opening", "engine.limits", "driver.contract", "auth.factories"),
    "Settings": ("config",),
    "Options": ("options", "encryption", "retention"),
    "Objects and results": ("types",),
    "URIs and paths": ("uri", "storage.safe_path"),
    "Files": ("engine.download", "engine.upload"),
    "Trees": ("storage",),
    "Progress": ("engine.progress",),
    "Wrappers": ("wrappers",),
    "Protocols": ("protocols",),
    "Errors": ("errors",),
}
#: The page of the names that no topic has.
REST = "More"

#: Public modules, apart from ``asyncstore`` itself and the integrations, which are found.
MODULES = (
    "asyncstore.settings",
    "asyncstore.auth.credentials",
    "asyncstore.auth.factories",
    "asyncstore.auth.aws",
    "asyncstore.auth.azure",
    "asyncstore.auth.gcp",
    "asyncstore.auth.github",
    "asyncstore.auth.oci",
    "asyncstore.driver",
    "asyncstore.engine.observer",
    "asyncstore.http",
    "asyncstore.sync",
    "asyncstore.testing.conformance",
    "asyncstore.testing.faults",
    "asyncstore.testing.faults_proxy",
    "asyncstore.testing.fixtures",
    "asyncstore.testing.servers.faults",
    "asyncstore.testing.servers.gcs",
    "asyncstore.testing.servers.github",
    "asyncstore.testing.servers.oci",
    "asyncstore.uri",
    "asyncstore.wrappers",
)


@dataclass(frozen=True)
class Page:
    """
    A page of the reference: its file, title, the module that it describes, and the full names that it explains.
    """

    file: str
    title: str
    module: str
    names: tuple[str, ...]
    #: Names of the module that another page explains: this name, and the name there.
    elsewhere: tuple[tuple[str, str], ...] = ()

    def text(self) -> str:
        """
        Return the Markdown, with the directives of mkdocstrings.
        """
        lines = [f"# {self.title}", ""]
        if self.module != "asyncstore":
            lines += [
                f"::: {self.module}",
                "    options:",
                "      members: false",
                "      show_root_heading: false",
                "",
            ]
        if self.elsewhere:
            links = ", ".join(f"[`{name.rpartition('.')[2]}`][{target}]" for name, target in self.elsewhere)
            lines += [f"It also exports {links}.", ""]
        lines += [line for name in self.names for line in (f"::: {name}", "")]
        return "\n".join(lines)


def pages() -> list[Page]:
    """
    Return all pages, in the order of the navigation.
    """
    origins = {origin: f"asyncstore.{name}" for name, origin in public_names("asyncstore").items()}
    found = list(_topics(origins))
    for module in (*MODULES, *_integrations()):
        names = {f"{module}.{name}": origin for name, origin in public_names(module).items()}
        own = tuple(name for name, origin in names.items() if origin not in origins)
        elsewhere = tuple((name, origins[origin]) for name, origin in names.items() if origin in origins)
        origins |= {origin: name for name, origin in names.items() if origin not in origins}
        found.append(Page(f"{module}.md", module, module, own, elsewhere))
    return found


def public_names(module: str) -> dict[str, str]:
    """
    Return the public names of *module*, each with the full name of its definition.
    """
    tree = ast.parse(_file(module).read_text("utf-8"))
    imported = dict(_imported(tree))
    defined = {name: f"{module}.{name}" for name in _defined(tree)}
    names = _listed(tree) or list(imported) or list(defined)
    return {name: _origin((defined | _all_imported(tree)).get(name, f"{module}.{name}")) for name in names}


def _topics(origins: Mapping[str, str]) -> Iterator[Page]:
    topics: dict[str, list[str]] = {title: [] for title in (*TOPICS, REST)}
    for origin, name in origins.items():
        topics[_topic(origin)].append(name)
    for title, names in topics.items():
        if names:
            yield Page(f"{title.lower().replace(' ', '-')}.md", title, "asyncstore", tuple(names))


def _topic(origin: str) -> str:
    """Return the title whose module is the closest one."""
    modules = {f"asyncstore.{module}": title for title, modules in TOPICS.items() for module in modules}
    fitting = [module for module in modules if f"{origin}.".startswith(f"{module}.")]
    return modules[max(fitting, key=len)] if fitting else REST


def _integrations() -> list[str]:
    folder = _root() / "asyncstore" / "integrations"
    entries = sorted(
        entry.stem for entry in folder.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").exists()
    )
    return [f"asyncstore.integrations.{name}" for name in entries if not name.startswith("_")]


@cache
def _root() -> Path:
    """Return the folder that has the package: of its sources, or where it is installed."""
    spec = find_spec("asyncstore")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[1]


def _file(module: str) -> Path:
    path = _root().joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _origin(name: str) -> str:
    """Follow re-exports to the definition of *name*."""
    module, _, short = name.rpartition(".")
    if not module.startswith("asyncstore") or not _file(module).exists():
        return name
    further = _all_imported(ast.parse(_file(module).read_text("utf-8"))).get(short)
    return _origin(further) if further else name


def _listed(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            yield from ((name.name, f"{node.module}.{name.name}") for name in node.names if name.asname == name.name)


def _all_imported(tree: ast.Module) -> dict[str, str]:
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {name.asname or name.name: f"{node.module}.{name.name}" for node in nodes for name in node.names}


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))
