"""What the site needs besides the pages: files of the repository that pages link to are carried along.

In the repository a page links to `../examples/egnn_probe.py` or to a figure of a run, and such a link works there. The
site has no folder above the pages, so each such file is put below `repository/`, and the link is changed.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"\]\(((?:\.\./)+)([^)#\s]+)(#[^)\s]*)?\)")
BELOW = "repository"


def _targets(config: MkDocsConfig) -> dict[str, Path]:
    """Path in the repository -> file, of everything outside the pages that a page links to."""
    root = Path(config.config_file_path).parent
    found = {}
    for page in Path(config.docs_dir).rglob("*.md"):
        for above, target, _ in LINK.findall(page.read_text()):
            path = (page.parent / above / target).resolve()
            if path.is_file() and path.is_relative_to(root) and not path.is_relative_to(Path(config.docs_dir)):
                found[path.relative_to(root).as_posix()] = path
    return found


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Carry the files along; Markdown among them becomes no page."""
    for name, path in _targets(config).items():
        place = f"{BELOW}/{name}" + (".txt" if path.suffix == ".md" else "")
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Links out of the pages go to what was carried along; one to a folder is its name alone."""
    root, docs = Path(config.config_file_path).parent, Path(config.docs_dir)
    here = docs / page.file.src_uri

    def changed(match: re.Match[str]) -> str:
        path = (here.parent / match[1] / match[2]).resolve()
        if path.is_relative_to(docs) or not path.is_relative_to(root):
            return match[0]
        if not path.is_file():
            return "](" + relpath("index.md", str(Path(page.file.src_uri).parent)) + ")"
        name = f"{BELOW}/{path.relative_to(root).as_posix()}" + (".txt" if path.suffix == ".md" else "")
        return f"]({relpath(name, str(Path(page.file.src_uri).parent))})"

    return LINK.sub(changed, markdown)
