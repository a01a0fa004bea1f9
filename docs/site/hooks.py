"""
What the site needs besides the pages: the reference of the public names, diagrams as pictures, and its style.
"""

from __future__ import annotations

import html
from itertools import count
from pathlib import Path
from typing import Any

import api
import mmdr
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_FOLDER = "reference/api"
_numbers = count(1)
# Fonts differ: there is room for wider letters.
_STYLE = """%%{init: {
  "theme": "neutral",
  "themeVariables": {"noteBkgColor": "#fff5ad", "noteTextColor": "#000"},
  "sequence": {"noteMargin": 24, "wrap": true},
  "flowchart": {"diagramPadding": 40}
}}%%
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """
    Have blocks of Mermaid drawn by the build.
    """
    fence = {"name": "mermaid", "class": "diagram", "format": diagram}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """
    Add the pages of the public names, and the style sheet.
    """
    pages = api.pages()
    for page in pages:
        files.append(File.generated(config, f"{_FOLDER}/{page.file}", content=page.text()))
    files.append(File.generated(config, f"{_FOLDER}/.nav.yml", content=_navigation(pages)))
    files.append(File.generated(config, "site.css", content=Path(__file__).with_name("site.css").read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """
    Add the table of all names to the first page of the reference.
    """
    return markdown + _table(api.pages()) if page.file.src_uri == f"{_FOLDER}/index.md" else markdown


def diagram(source: str, _language: str, _class: str, _options: Any, _markdown: Any, **_: Any) -> str:
    """
    Return a block of Mermaid as SVG, which no script needs to draw.
    """
    drawn: str = mmdr.render(_STYLE + source).svg()
    # Each has ids of its own, since a page can have several.
    drawn = drawn.replace("merman", f"diagram-{next(_numbers)}")
    return f'<div class="diagram">{drawn}<!-- {html.escape(source)} --></div>'


def _table(pages: list[api.Page]) -> str:
    lines = ["", "| page | names |", "|---|---|"]
    for page in pages:
        names = ", ".join(f"[`{name.rpartition('.')[2]}`][{name}]" for name in page.names)
        lines.append(f"| [{page.title}]({page.file}) | {names} |")
    return "\n".join(lines) + "\n"


def _navigation(pages: list[api.Page]) -> str:
    return "title: API\nnav:\n  - index.md\n" + "".join(f"  - {page.file}\n" for page in pages)
