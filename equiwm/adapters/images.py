"""Networks of images: what a rotation does to a square grid of pixels exactly, and what it does not.

A quarter turn, and a reflection of the square, permute pixels: C_4 and D_4 act exactly, `image_probe`. A turn by 45
degrees moves the pixels off the grid, and whatever puts them back, by interpolation, adds an error that is not the
network's: it would be called broken for it. For C_8 and finer, `drawn_probe` turns what is seen instead of the pixels:
an image is a sum of Gaussian spots, drawn at the centres of the pixels wherever the spots are. What is left is what
the network makes of its own grid, and it is approximate for every network of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from equiwm.audit.probe import Probe
from equiwm.errors import DataError, GroupError, RepError
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group
from equiwm.symmetry.kinds import SCALAR, Kind
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.shapes import broadcast_shape

_ON_THE_GRID = 1e-6
"""How far, in pixels, a centre may land from another: float64 matrices are off by 1e-15."""


@dataclass(frozen=True)
class OnPixels(Kind):
    """A field over a square grid: (rho f)(x) = rho_0(g) f(g^-1 x), entries (dim of rho_0, size, size).

    Rows of the grid go down and columns to the right, as images are stored: pixel (i, j) stands at (j, -i) about the
    centre, and a turn is counter-clockwise.

    Attributes:
        inner: rho_0, how the value at a pixel transforms.
        size: pixels along a side.
    """

    inner: Kind
    size: int

    @property
    def name(self) -> str:  # type: ignore[override]
        """`0e@32` of scalars on 32 x 32 pixels."""
        return f"{self.inner.name}@{self.size}"

    def dim(self, d: int) -> int:
        return self.inner.dim(d) * self.size**2

    def axes(self, d: int) -> tuple[int, ...]:
        return (self.inner.dim(d), self.size, self.size)

    def _sources(self, g: Elements) -> Tensor:
        """(*g.shape, size^2): the pixel whose value comes to each pixel."""
        half = (self.size - 1) / 2
        steps = torch.arange(self.size, dtype=torch.float64) - half
        down, right = torch.meshgrid(steps, steps, indexing="ij")
        centres = torch.stack([right, -down], -1).reshape(-1, 2)
        before = centres @ g.linear  # x R is R^-1 x
        columns, rows = before[..., 0] + half, half - before[..., 1]
        off = torch.stack([columns - columns.round(), rows - rows.round()]).abs().max()
        if float(off) > _ON_THE_GRID:
            raise GroupError(
                "a square grid of pixels is moved onto itself by quarter turns and its own reflections alone (c4, d4); "
                "for finer turns see equiwm.adapters.images.drawn_probe."
            )
        return (rows.round() * self.size + columns.round()).long()

    def matrix(self, g: Elements) -> Tensor:
        moved = nn.functional.one_hot(self._sources(g), self.size**2).to(torch.float64)
        inner = self.inner.matrix(g)
        width = self.inner.dim(g.d)
        blocks = inner[..., :, None, :, None] * moved[..., None, :, None, :]
        return blocks.reshape(*g.shape, width * self.size**2, width * self.size**2)

    def act(self, x: Tensor, g: Elements) -> Tensor:
        width, pixels = self.inner.dim(g.d), self.size**2
        fields = x.unflatten(-1, (width, pixels))  # (..., C, width, pixels)
        source = self._sources(g).to(x.device)[..., None, None, :]
        lead = broadcast_shape(fields.shape[:-3], g.shape)
        shape = (*lead, *fields.shape[-3:])
        moved = fields.expand(shape).gather(-1, source.expand(shape))
        inner = self.inner.matrix(g).to(x.dtype).to(x.device)[..., None, :, :]
        return (inner @ moved).flatten(-2)


@dataclass(frozen=True, eq=False)
class FieldKind(Kind):
    """A representation of a finite group of the plane, given as a function of its rotations and reflections.

    Attributes:
        label: as it is shown.
        width: its dimension.
        of: (angle in radians, whether it reflects) -> matrix (width, width).
    """

    label: str
    width: int
    of: Callable[[float, bool], Any]

    @property
    def name(self) -> str:  # type: ignore[override]
        """As it is shown."""
        return self.label

    def dim(self, d: int) -> int:
        return self.width

    def matrix(self, g: Elements) -> Tensor:
        linear = g.linear.reshape(-1, 2, 2)
        found = []
        for turn, reflects in zip(linear, (g.determinant < 0).reshape(-1).tolist(), strict=True):
            angle = math.atan2(float(turn[1, 0]), float(turn[0, 0]))
            found.append(torch.as_tensor(self.of(angle, bool(reflects)), dtype=torch.float64))
        return torch.stack(found).reshape(*g.shape, self.width, self.width)


def regular(n: int) -> FieldKind:
    """The regular representation of C_n: n channels, which a turn by 360/n degrees moves one on."""

    def of(angle: float, reflects: bool) -> Tensor:
        steps = angle * n / (2 * math.pi)
        if reflects or abs(steps - round(steps)) > _ON_THE_GRID:
            raise GroupError(f"the regular representation of C_{n} knows turns by 360/{n} degrees alone.")
        return torch.eye(n, dtype=torch.float64).roll(round(steps), 0)

    return FieldKind(f"regular_c{n}", n, of)


def field_rep(field_type: Any) -> Rep:
    """An escnn `FieldType` of a group of the plane as a rep: one term a field, in escnn's order.

    Args:
        field_type: of C_N or D_N, `escnn.gspaces.rot2dOnR2(N)` or `flipRot2dOnR2(N)`. Its reflection is that of the
            horizontal axis, x -> (x, -y).

    Raises:
        DataError: something that is no field type, or one of another group.
    """
    fibers = getattr(field_type, "fibergroup", None)
    if fibers is None or not hasattr(field_type, "representations"):
        raise DataError(f"got {type(field_type).__name__}, expected an escnn FieldType.")
    order = getattr(fibers, "rotation_order", None) or (fibers.order() if type(fibers).__name__ == "CyclicGroup" else 0)
    dihedral = type(fibers).__name__ == "DihedralGroup"
    if type(fibers).__name__ not in ("CyclicGroup", "DihedralGroup"):
        raise DataError(f"the field type is of {fibers}; expected a cyclic or dihedral group of the plane.")

    def kind(representation: Any) -> FieldKind:
        def of(angle: float, reflects: bool) -> Any:
            steps = round(angle * order / (2 * math.pi)) % order
            if reflects and not dihedral:
                raise GroupError(f"the field type is of {fibers}, which has no reflections.")
            return representation(fibers.element((int(reflects), steps) if dihedral else steps))

        return FieldKind(str(representation.name), int(representation.size), of)

    kinds = {id(each): kind(each) for each in field_type.representations}
    return Rep([(1, kinds[id(each)]) for each in field_type.representations], 2)


def on_pixels(rep: Rep | int, size: int) -> Rep:
    """The rep of an image, (channels, size, size), from that of its channels, or from a number of scalar channels.

    Raises:
        RepError: a rep of space, not of the plane.
    """
    if isinstance(rep, int):
        rep = Rep([(rep, SCALAR)], 2)
    if rep.d != 2:
        raise RepError(f"images are of the plane; rep {rep} has d = {rep.d}.")
    return Rep([(count, OnPixels(kind, size)) for count, kind in rep.terms], 2)


def image_probe(
    model: Callable[..., Any], images: Tensor, group: Group | str, gives: Any, *, channels: Rep | None = None
) -> Probe:
    """The probe of a network of images under C_4, D_4 or a subgroup.

        >>> probe = image_probe(model, torch.randn(16, 3, 33, 33), "c4", gives="10x0e")

    Args:
        model: called with the batch.
        images: (B, C, n, n), square.
        group: `c4`, `c2`, `d4`, ...: one that maps the grid onto itself.
        gives: rep of the output; of one that is an image `on_pixels(rep, m)`, m pixels along its side.
        channels: rep of the channels of an image, of the plane; by default scalars (grey, colours).

    Raises:
        DataError: images of another form.
        GroupError: a group that moves pixels off the grid; see `drawn_probe`.
    """
    if not isinstance(images, Tensor) or images.dim() != 4 or images.shape[-1] != images.shape[-2]:
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise DataError(f"images: got {got}, expected a tensor (B, C, n, n) of square images.")
    rep = on_pixels(channels if channels is not None else images.shape[1], images.shape[-1])
    return Probe(model, images, group, takes=rep, gives=gives, axes=2)


def drawn_probe(
    model: Callable[..., Any],
    group: Group | str,
    gives: Any,
    *,
    size: int = 33,
    channels: int = 1,
    samples: int = 32,
    spots: int = 4,
    width: float = 2.0,
    seed: int = 0,
) -> Probe:
    """The probe of a network of images under turns of what is seen, by any angle: C_8, SO(2), O(2).

    An image is sum_k a_k exp(-|x - c_k|^2 / 2 w^2) at the centres x of the pixels, c_k within 0.3 of the side about the
    centre: nothing is interpolated, and nothing leaves the image.

    Args:
        model: called with images (B, channels, size, size).
        group: of the plane, without translations.
        gives: rep of the output: features of the whole image, or of its central pixel.
        size: pixels along a side.
        channels: of an image.
        samples: how many images.
        spots: in each of its channels.
        width: w in pixels; below 1 the grid does not resolve it.
        seed: of places and heights.
    """
    generator = torch.Generator().manual_seed(seed)
    radius = 0.3 * size
    shape = (samples, channels * spots)
    angle = 2 * math.pi * torch.rand(shape, generator=generator)
    length = radius * torch.rand(shape, generator=generator).sqrt()
    centres = length[..., None] * torch.stack([angle.cos(), angle.sin()], -1)
    heights = torch.randn(samples, channels, spots, generator=generator)
    return Probe(
        _Drawn(model, size, width),
        {"centres": centres, "heights": heights},
        group,
        takes={"centres": f"{channels * spots}x1o", "heights": "same"},
        gives=gives,
        call="**",
    )


class _Drawn:
    """A network of images as a function of the spots in them."""

    def __init__(self, model: Callable[..., Any], size: int, width: float) -> None:
        self.model, self.size, self.width = model, size, width

    def __call__(self, centres: Tensor, heights: Tensor) -> Any:
        steps = torch.arange(self.size, dtype=centres.dtype, device=centres.device) - (self.size - 1) / 2
        right = (centres[..., 0, None] - steps).square()
        down = (centres[..., 1, None] + steps).square()
        apart = down[..., :, None] + right[..., None, :]  # (B, channels * spots, size, size)
        drawn = (-apart / (2 * self.width**2)).exp().unflatten(1, heights.shape[1:])
        return self.model((heights[..., None, None] * drawn).sum(2))
