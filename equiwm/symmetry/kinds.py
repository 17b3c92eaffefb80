"""Kinds of representation as values: how one scalar, vector, tensor, ... transforms under a group element.

A kind rho has a width dim(d) in a space of d dimensions and an orthogonal matrix rho(g) of g = (R, t, p); points are
affine, x -> rho(g) x + offset(g). A kind of one's own is a subclass of `Kind` with `name`, `dim` and `matrix`. One
object of it is put into a `Rep`, or handed to `Rep.parse`; `check_rep` (`equiwm.symmetry.laws`) refuses one that is
no representation of a group.

| kind | what | acts as | in |
|---|---|---|---|
| `0e` | scalar | s -> s | any d |
| `0o` | pseudoscalar | s -> det(R) s | any d |
| `1o` | vector | v -> R v | any d |
| `1e` | pseudovector | v -> det(R) R v | any d |
| `p` | point | x -> R x + t | any d |
| `2e`, `2o`, `3e`, ... | irreducible of degree l | D_l(det(R) R), times det(R) for `o` | d = 3 |
| `m1`, `m2`, ... | irreducible of frequency m | R(m theta), reflections conjugate | d = 2 |
| `horizontal` | (x, y) of a vector | the horizontal block of R | d = 3, groups about z |
| `same5` | untouched, 5 wide | x -> x | any d |
| `mask` | whether an item of a set is there | m -> m | any d, items of a set |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from equiwm.errors import RepError
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.wigner import wigner


class Kind(ABC):
    """How one thing transforms. A subclass sets `name` and defines `dim` and `matrix`, and is hashable.

    Attributes:
        name: as it stands in the text of a rep; without digits first, `x`-counts, spaces, `+`, `*` and brackets.
        translates: whether translations act on it: it then defines `offset` and `linear_kind` too.
        structured: whether it is one vector of d entries, so that channels of it have the form (..., C, d).
        sign_blind: whether x and -x mean the same (quaternions): rho is then a homomorphism up to sign.
        parity: what x -> -x of space (d = 3) multiplies it by, +1 or -1; None where it is not a sign.
    """

    name: str
    translates: bool = False
    structured: bool = False
    sign_blind: bool = False
    parity: int | None = None

    @abstractmethod
    def dim(self, d: int) -> int:
        """Width in a space of d dimensions.

        Raises:
            RepError: the kind does not exist there.
        """

    @abstractmethod
    def matrix(self, g: Elements) -> Tensor:
        """rho(g), orthogonal, shape (*g.shape, dim, dim), float64.

        Raises:
            GroupError: elements that it cannot be turned by.
        """

    def axes(self, d: int) -> tuple[int, ...]:
        """Sizes of the axes of one copy, where it has several: a product has one a factor, row-major."""
        return (self.dim(d),)

    def offset(self, g: Elements) -> Tensor:
        """What g adds after rho(g): zero but for points. (*g.shape, dim), float64."""
        return g.linear.new_zeros(*g.shape, self.dim(g.d))

    @property
    def linear_kind(self) -> Kind:
        """How differences of it transform: itself, unless translations act on it."""
        if self.translates:
            raise RepError(f"kind '{self.name}' is moved by translations; it has to define linear_kind.")
        return self

    def act(self, x: Tensor, g: Elements) -> Tensor:
        """rho(g) x + offset(g) of C copies, (..., C, dim), in the dtype and on the device of x.

        The batch shape of g broadcasts against the leading axes of x. By default a product with the float64 matrix,
        cast once.
        """
        turned = x @ cast(self.matrix(g), x).mT
        return turned + cast(self.offset(g), x)[..., None, :] if self.translates else turned

    def difference(self, x: Tensor, y: Tensor, d: int) -> Tensor:
        """x - y, (..., dim) in d dimensions; of two things known up to sign the smaller of x - y and x + y."""
        if not self.sign_blind:
            return x - y
        return x - torch.where((x * y).sum(-1, keepdim=True) < 0, -y, y)

    def __str__(self) -> str:
        return self.name


def cast(values: Tensor, like: Tensor) -> Tensor:
    """Float64 values in the dtype and on the device of a tensor."""
    return values.to(like.dtype).to(like.device)


@dataclass(frozen=True)
class Scalar(Kind):
    """`0e` or `0o`.

    Attributes:
        odd: whether a reflection changes its sign.
    """

    odd: bool = False

    @property
    def name(self) -> str:  # type: ignore[override]
        """`0e` or `0o`."""
        return "0o" if self.odd else "0e"

    @property
    def parity(self) -> int:  # type: ignore[override]
        """-1 for a pseudoscalar."""
        return -1 if self.odd else 1

    def dim(self, d: int) -> int:
        return 1

    def matrix(self, g: Elements) -> Tensor:
        ones = g.linear.new_ones(*g.shape, 1, 1)
        return ones * g.determinant[..., None, None] if self.odd else ones

    def act(self, x: Tensor, g: Elements) -> Tensor:
        return x * cast(g.determinant, x)[..., None, None] if self.odd else x


@dataclass(frozen=True)
class Vector(Kind):
    """`1o`, `1e` or `p`: d entries, kept in the order x, y, z.

    Attributes:
        name: one of the three.
    """

    name: str
    structured = True

    @property
    def translates(self) -> bool:  # type: ignore[override]
        """Translations act on points."""
        return self.name == "p"

    @property
    def parity(self) -> int | None:  # type: ignore[override]
        """+1 for a pseudovector; a point has none, for it changes with the origin."""
        return {"1o": -1, "1e": 1}.get(self.name)

    def dim(self, d: int) -> int:
        return d

    def matrix(self, g: Elements) -> Tensor:
        return g.linear * g.determinant[..., None, None] if self.name == "1e" else g.linear

    def offset(self, g: Elements) -> Tensor:
        return g.translation if self.translates else super().offset(g)

    @property
    def linear_kind(self) -> Kind:
        """A difference of points is a vector."""
        return VECTOR if self.translates else self

    def act(self, x: Tensor, g: Elements) -> Tensor:
        turned = x @ cast(g.linear, x).mT
        if self.translates:
            return turned + cast(g.translation, x)[..., None, :]
        return turned * cast(g.determinant, x)[..., None, None] if self.name == "1e" else turned


@dataclass(frozen=True)
class Irreducible(Kind):
    """`le` or `lo`, degree l >= 2 in space: D_l(det(R) R), times det(R) if odd; basis as `equiwm.symmetry.wigner` says.

    Attributes:
        degree: l.
        odd: whether x -> -x of space changes its sign. Spherical harmonics have the parity (-1)^l.
    """

    degree: int
    odd: bool

    @property
    def name(self) -> str:  # type: ignore[override]
        """`2e`, `3o`."""
        return f"{self.degree}{'o' if self.odd else 'e'}"

    @property
    def parity(self) -> int:  # type: ignore[override]
        """+1 for `e`, -1 for `o`."""
        return -1 if self.odd else 1

    def dim(self, d: int) -> int:
        if d != 3:
            raise RepError(
                f"kind '{self.name}' lives in space (d = 3), not in d = {d}; in the plane there is m1, m2, ..."
            )
        return 2 * self.degree + 1

    def matrix(self, g: Elements) -> Tensor:
        self.dim(g.d)
        sign = g.determinant[..., None, None]
        turned = wigner(self.degree, sign * g.linear)
        return sign * turned if self.odd else turned


@dataclass(frozen=True)
class Frequency(Kind):
    """`m1`, `m2`, ...: of frequency m in the plane. The pair (r cos m phi, r sin m phi) of a vector at angle phi.

    A rotation by theta acts as R(m theta), a reflection R(theta) diag(1, -1) as R(m theta) diag(1, -1), the complex
    conjugation after the turn. `m1` is a vector.

    Attributes:
        frequency: m >= 1.
    """

    frequency: int

    @property
    def name(self) -> str:  # type: ignore[override]
        """`m2`."""
        return f"m{self.frequency}"

    def dim(self, d: int) -> int:
        if d != 2:
            raise RepError(
                f"kind '{self.name}' lives in the plane (d = 2), not in d = {d}; in space there is 2e, 3o, ..."
            )
        return 2

    def matrix(self, g: Elements) -> Tensor:
        self.dim(g.d)
        turn = torch.complex(g.linear[..., 0, 0], g.linear[..., 1, 0])
        power = turn
        for _ in range(self.frequency - 1):
            power = power * turn
        power = power / power.abs()
        first = torch.view_as_real(power)
        second = torch.stack([-first[..., 1], first[..., 0]], -1) * g.determinant[..., None]
        return torch.stack([first, second], -1)


@dataclass(frozen=True)
class Untouched(Kind):
    """`sameN`: N entries that nothing changes.

    Attributes:
        width: N >= 1.
    """

    width: int
    parity = 1

    @property
    def name(self) -> str:  # type: ignore[override]
        """`same5`."""
        return f"same{self.width}"

    def dim(self, d: int) -> int:
        return self.width

    def matrix(self, g: Elements) -> Tensor:
        return torch.eye(self.width, dtype=torch.float64).expand(*g.shape, -1, -1)

    def act(self, x: Tensor, g: Elements) -> Tensor:
        return x


@dataclass(frozen=True)
class Mask(Kind):
    """`mask`: 1 where an item of a set is there, 0 where its place is empty: `perm5*(mask+p+1o)`.

    Whatever an empty place holds beside it means nothing (`equiwm.symmetry.sets`).
    """

    name = "mask"
    parity = 1

    def dim(self, d: int) -> int:
        return 1

    def matrix(self, g: Elements) -> Tensor:
        return g.linear.new_ones(*g.shape, 1, 1)

    def act(self, x: Tensor, g: Elements) -> Tensor:
        return x


MASK = Mask()
SCALAR, PSEUDOSCALAR = Scalar(), Scalar(odd=True)
VECTOR, PSEUDOVECTOR, POINT = Vector("1o"), Vector("1e"), Vector("p")
