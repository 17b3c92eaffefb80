"""What figures are drawn for: a screen, a page of HTML, or print; and where they may be found as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_FIGURE = 2**25
"""Bytes of a figure, or of its CSV, that is read."""


@dataclass(frozen=True)
class Medium:
    """What figures are drawn for.

    Attributes:
        kinds: endings of the files, the one that is returned first.
        style: settings of matplotlib over the common ones.
        widths: inches; a figure is made as wide as the first of them that takes it, or the last. None: as it was made.
        scale: of text.
        smallest: points of text, at least.
        cropped: to what is drawn, with a margin; else exactly of its size.
    """

    kinds: tuple[str, ...]
    style: Mapping[str, Any] = field(default_factory=dict)
    widths: tuple[float, ...] = ()
    scale: float = 1.0
    smallest: float = 0.0
    cropped: bool = True

    def size(self, width: float, height: float) -> tuple[float, float]:
        """Inches of a figure that was made for so many."""
        if not self.widths:
            return width, height
        narrow, wide = self.widths[0], self.widths[-1]
        made = narrow if width <= _ONE_PANEL else wide
        return made, height * made / width

    def points(self, size: float) -> float:
        """Points of text that was made for so many."""
        return max(self.smallest, size * self.scale)


_ONE_PANEL = 5.2
"""Inches up to which a figure is taken for one panel."""
SCREEN = Medium(("png", "svg"))
"""Files for people, beside the CSV."""
PAGE = Medium(("svg",))
"""A page of HTML takes the vectors alone."""
COLUMN, TEXT = 3.375, 6.5
"""Inches: a column of a paper in two, and the width of a text in one."""
PRINT = Medium(
    ("pdf",),
    {
        "font.family": ["STIXGeneral", "DejaVu Serif"],
        "mathtext.fontset": "stix",
        "pdf.fonttype": 42,
        "savefig.bbox": None,
        "axes.linewidth": 0.6,
        "lines.markersize": 4.0,
    },
    (COLUMN, TEXT),
    scale=0.8,
    smallest=7.0,
    cropped=False,
)
"""PDF as wide as a column, or as the text where there are several panels; set in Times, no letter below 7 pt."""

_MEDIUM: ContextVar[Medium] = ContextVar("medium", default=SCREEN)
_KNOWN: ContextVar[tuple[Path, ...]] = ContextVar("known", default=())
_CODE: ContextVar[str | None] = ContextVar("code", default=None)


@contextmanager
def drawn_for(medium: Medium, known: Sequence[Path] = (), code: str | None = None) -> Iterator[None]:
    """Draw for a medium within the block.

    Args:
        medium: what for.
        known: folders in which a figure may be already, beside a CSV: it is taken from there if that is the same.
        code: digest of what draws (`equiwm.figures.record.drawing_code`); with it each figure that is drawn gets a
            record of what it was drawn from, and in the folder that it is drawn into none is taken without.
    """
    tokens = _MEDIUM.set(medium), _KNOWN.set(tuple(known)), _CODE.set(code)
    try:
        yield
    finally:
        _MEDIUM.reset(tokens[0])
        _KNOWN.reset(tokens[1])
        _CODE.reset(tokens[2])


def medium() -> Medium:
    """What is being drawn for."""
    return _MEDIUM.get()


def text_size(size: float) -> float:
    """Points of text that stands at `size` points on a screen."""
    return medium().points(size)


def known_folders() -> tuple[Path, ...]:
    """Folders in which a figure may be already."""
    return _KNOWN.get()


def code() -> str | None:
    """Digest of what draws; None where no records are kept."""
    return _CODE.get()
