"""Pages of HTML that need nothing else: one style, tables that sort, figures inline, light and dark."""

from __future__ import annotations

import base64
import hashlib
from typing import Protocol

from equiwm.printable import printable

_SENTENCE = 8
"""Words from which on a cell is taken for a sentence, and wraps."""

_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


class Drawn(Protocol):
    """A figure that is put into a page."""

    @property
    def data(self) -> bytes:
        """The file's content."""

    @property
    def kind(self) -> str:
        """Its ending, `.svg` or `.png`."""


def rendered(package: str, template: str, *, linked: bool = False, **told: object) -> str:
    """A page from a template of a package, which may use those of `equiwm.tables` (`page.css`, `tables.html`).

    Every text is escaped, and what nobody sees or turns what follows is left out. A template has `style`, `script` and
    `policy` for its head, and the filter `source` for figures.

    Args:
        package: whose folder `templates` holds it.
        template: its name.
        linked: figures are files beside it.
        told: what it shows.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    shared = PackageLoader("equiwm.tables")
    page = Environment(
        loader=ChoiceLoader([PackageLoader(package), shared]),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_finished,
    )
    style, script = (Markup(shared.get_source(page, name)[0]) for name in ("page.css", "page.js"))
    page.filters |= {"source": _source, "split_range": lambda text: text.partition(" [")}
    policy = _policy(style, script, linked=linked)
    head = {"style": style, "script": script, "policy": policy, "sentence": _SENTENCE, "linked": linked}
    return page.get_template(template).render(**head, **told)


def _finished(value: object) -> object:
    """What is put into the page: text without characters that nobody sees or that turn what follows."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _policy(style: str, script: str, *, linked: bool) -> str:
    """Nothing is loaded from elsewhere, and of styles and scripts only these two run, whatever a page's texts hold.
    Figures are in the page, or in files beside it where it is `linked`.
    """
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in (style, script)
    )
    images = "'self' file:" if linked else "data:"
    return (
        f"default-src 'none'; img-src {images}; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(picture: Drawn) -> str:
    """A figure as it stands in the page itself."""
    data = base64.b64encode(picture.data).decode("ascii")
    return f"data:{_TYPES[picture.kind]};base64,{data}"
