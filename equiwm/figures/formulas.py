"""Formulas at the ticks of logarithmic axes, parsed once a process.

matplotlib keeps what it parsed by renderer. A figure has four of them, and those of the next figure are others: every
10^-1 of a report is parsed anew, which is a sixth of the drawing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

_PARSED: dict[tuple[Hashable, ...], Any] = {}
_MOST = 4096
"""Formulas that are kept: of a few hundred bytes each, and the picture of it where it is drawn as pixels."""


@contextmanager
def formulas_shared() -> Iterator[None]:
    """Within the block all renderers share what any of them parsed of the same text, size, font and settings.

    Where matplotlib does not have the method whose results are kept (3.8 to 3.11 do), it parses as it does.
    """
    from matplotlib import rcParams
    from matplotlib.mathtext import MathTextParser

    parser: Any = MathTextParser
    own: Any = getattr(parser, "_parse_cached", None)
    if own is None:
        yield
        return
    settings = tuple(str(rcParams[name]) for name in sorted(rcParams) if name.startswith("mathtext."))

    def shared(self: Any, *asked: Hashable) -> Any:
        key = (self._output_type, settings, *asked)
        if key not in _PARSED:
            if len(_PARSED) >= _MOST:
                _PARSED.clear()
            _PARSED[key] = own(self, *asked)
        return _PARSED[key]

    parser._parse_cached = shared
    try:
        yield
    finally:
        parser._parse_cached = own
