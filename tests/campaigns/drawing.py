"""Figures of noise in the place of lines and text: the same files in as many writes, in a tenth of the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

SIZE = 64
"""Pixels of noise on a side, which no compression makes smaller than a buffer."""


@contextmanager
def noise_drawn() -> Iterator[None]:
    """Inside the block whatever figure is drawn is drawn so; what is called on its files is as before."""
    before = Figure.draw, Figure.get_tightbbox
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 4), dtype=np.uint8)

    def draw(self: Figure, renderer: Any) -> None:
        renderer.open_group("figure")
        renderer.draw_image(renderer.new_gc(), 0, 0, noise)
        renderer.close_group("figure")

    def whole_page(self: Figure, *arguments: Any, **options: Any) -> Bbox:
        return Bbox([[0, 0], self.get_size_inches()])

    Figure.draw, Figure.get_tightbbox = draw, whole_page  # type: ignore[method-assign]
    try:
        yield
    finally:
        Figure.draw, Figure.get_tightbbox = before  # type: ignore[method-assign]
