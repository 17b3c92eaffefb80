"""Sets in a rep: items that all carry the same quantities, in any order, and a mask that says which are there.

    perm8*(mask+p+1o+2x0e)               eight places, item after item: a mask, a point, a vector, two scalars
    perm8*mask+perm8*p+perm8*1o+0e       the same quantities as columns of a log have them, and a scalar beside the set

Both are one set of eight. An item is there where its mask is above 1/2; what an empty place holds besides means
nothing, and may be anything, NaN included. A set without a mask is full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from equiwm.errors import RepError
from equiwm.printable import MOST_QUOTED, cut
from equiwm.symmetry.composites import DirectSum, TensorProduct
from equiwm.symmetry.exchanges import Items
from equiwm.symmetry.kinds import MASK, SCALAR, Kind, cast
from equiwm.symmetry.reps import Rep
from equiwm.symmetry.shapes import broadcast_shape

THERE = 0.5
"""A mask above this says that the item is there."""


@dataclass(frozen=True, eq=False)
class SetLayout:
    """Where the items of a set and what stands beside it lie in a flat tensor of a rep.

    Attributes:
        count: N, the places of the set.
        item: rep of one item, without its mask; None where an item is a mask alone.
        places: (N, item.dim) entries of each item.
        mask: (N,) entries of the mask; None of a set without one.
        rest: rep of what is no set; None where there is nothing else.
        rest_places: (rest.dim,) entries of it.
    """

    count: int
    item: Rep | None
    places: Tensor
    mask: Tensor | None
    rest: Rep | None
    rest_places: Tensor

    def present(self, x: Tensor) -> Tensor:
        """Which items are there, bool (..., N), of flat tensors (..., dim)."""
        if self.mask is None:
            return torch.ones(*x.shape[:-1], self.count, dtype=torch.bool, device=x.device)
        return x[..., self.mask.to(x.device)] > THERE

    def items(self, x: Tensor) -> Tensor:
        """The items (..., N, item.dim) of flat tensors (..., dim), zero in empty places."""
        given = x[..., self.places.to(x.device)]
        return given if self.mask is None else torch.where(self.present(x)[..., None], given, torch.zeros_like(given))

    def others(self, x: Tensor) -> Tensor:
        """What is no set, (..., rest.dim)."""
        return x[..., self.rest_places.to(x.device)]

    def joined(self, items: Tensor, others: Tensor, present: Tensor | None) -> Tensor:
        """A flat tensor (..., dim) of items (..., N, item.dim), what is no set, and a mask; None leaves that zero."""
        lead = broadcast_shape(items.shape[:-2], others.shape[:-1])
        mask = 0 if self.mask is None else self.count
        made = items.new_zeros(*lead, self.places.numel() + self.rest_places.numel() + mask)
        made[..., self.places.to(made.device)] = items.expand(*lead, *items.shape[-2:])
        made[..., self.rest_places.to(made.device)] = others.expand(*lead, others.shape[-1])
        if self.mask is not None and present is not None:
            made[..., self.mask.to(made.device)] = present.to(made.dtype)
        return made

    def cleared(self, x: Tensor) -> Tensor:
        """Flat tensors (..., dim) with zeros in empty places; as they are where there is no mask."""
        return x if self.mask is None else self.joined(self.items(x), self.others(x), self.present(x))


def _counts_items(kind: Kind) -> bool:
    return isinstance(kind, Items) or (isinstance(kind, TensorProduct) and isinstance(kind.factors[0], Items))


def _holds(kind: Kind, wanted: type[Kind]) -> bool:
    if isinstance(kind, TensorProduct):
        return any(_holds(factor, wanted) for factor in kind.factors)
    if isinstance(kind, DirectSum):
        return any(_holds(part, wanted) for _, part in kind.terms)
    return isinstance(kind, wanted)


def _of_item(kind: Kind) -> tuple[int, tuple[tuple[int, Kind], ...]]:
    """How many items a kind counts, and the terms of one of them."""
    if isinstance(kind, Items):
        return kind.count, ((1, SCALAR),)
    assert isinstance(kind, TensorProduct)
    first, *others = kind.factors
    assert isinstance(first, Items)
    inner = others[0] if len(others) == 1 else TensorProduct(tuple(others))
    return first.count, inner.terms if isinstance(inner, DirectSum) else ((1, inner),)


def _flattened(terms: tuple[tuple[int, Kind], ...]) -> Iterator[Kind]:
    """Kinds one by one, sums within sums opened."""
    for count, kind in terms:
        for _ in range(count):
            if isinstance(kind, DirectSum):
                yield from _flattened(kind.terms)
            else:
                yield kind


@lru_cache(maxsize=256)
def set_layout(rep: Rep) -> SetLayout | None:
    """The set in a rep; None where it holds none.

    Raises:
        RepError: sets of several sizes, permN that is not the first factor of a product, a set of sets, a mask outside
            of a set, or two masks an item.
    """
    what = f"rep {cut(str(rep), MOST_QUOTED)}"
    kinds: list[Kind] = []
    columns: list[list[int]] = []
    masks: list[list[int]] = []
    rest: list[tuple[int, Kind]] = []
    rest_places: list[int] = []
    sizes: set[int] = set()
    start = 0
    for copies, kind in rep.terms:
        width = kind.dim(rep.d)
        for _ in range(copies):
            if not _counts_items(kind):
                _check_beside(kind, what)
                rest.append((1, kind))
                rest_places += range(start, start + width)
            else:
                n, terms = _of_item(kind)
                sizes.add(n)
                offset, size = 0, width // n
                for part in _flattened(terms):
                    if _holds(part, Items):
                        raise RepError(f"{what}: a set of sets is not supported; expected permN*(...) without permN.")
                    of_part = part.dim(rep.d)
                    if part != MASK:
                        kinds.append(part)
                    for entry in range(offset, offset + of_part):
                        (masks if part == MASK else columns).append([start + size * k + entry for k in range(n)])
                    offset += of_part
            start += width
    if not sizes:
        return None
    if len(sizes) > 1:
        named = " and ".join(str(n) for n in sorted(sizes))
        raise RepError(f"{what}: it holds sets of {named} items; expected one set, all its terms with the same permN.")
    if len(masks) > 1:
        raise RepError(f"{what}: an item has {len(masks)} masks; expected one at most.")
    (count,) = sizes
    places = torch.tensor(columns, dtype=torch.long).reshape(-1, count).T.contiguous()
    return SetLayout(
        count,
        Rep([(1, kind) for kind in kinds], rep.d) if kinds else None,
        places,
        torch.tensor(masks[0], dtype=torch.long) if masks else None,
        Rep(rest, rep.d) if rest else None,
        torch.tensor(rest_places, dtype=torch.long),
    )


def _check_beside(kind: Kind, what: str) -> None:
    if _holds(kind, type(MASK)):
        raise RepError(f"{what}: a mask stands within a set, as in perm5*(mask+p); {kind} is none.")
    if _holds(kind, Items):
        raise RepError(f"{what}: permN comes first in a product and not within a sum: perm5*1o, not {kind}.")


def in_order(rep: Rep) -> Rep:
    """The same entries with items told apart by their place: `perm2*p+perm2*1o` as `2xp+2x1o`; no set is as it is."""
    terms: list[tuple[int, Kind]] = []
    for copies, kind in rep.terms:
        if not _counts_items(kind):
            terms.append((copies, kind))
            continue
        count, of_item = _of_item(kind)
        terms += [(1, part) for part in _flattened(of_item)] * (count * copies)
    return Rep(terms, rep.d)


def cleared(x: Tensor, rep: Rep) -> Tensor:
    """Samples (..., *shape) of a rep with zeros in the empty places of its set; as they are where nothing is masked."""
    if rep.structured:
        return x
    layout = set_layout(rep) if has_mask(rep) else None
    return x if layout is None else layout.cleared(x)


def marked(change: Tensor, before: Tensor, rep: Rep) -> Tensor:
    """A change of flat tensors (..., dim) with the mask of what it is a change of, which says whose change it is."""
    layout = set_layout(rep) if has_mask(rep) else None
    if layout is None or layout.mask is None:
        return change
    change = change.clone()
    change[..., layout.mask.to(change.device)] = before[..., layout.mask.to(change.device)]
    return change


def is_mask(kind: Kind) -> bool:
    """Whether a kind is masks and nothing else: `mask`, `perm5*mask`."""
    if isinstance(kind, DirectSum):
        return bool(kind.terms) and all(is_mask(part) for _, part in kind.terms)
    return kind == MASK or (isinstance(kind, TensorProduct) and MASK in kind.factors)


def has_mask(rep: Rep) -> bool:
    """Whether a rep holds a mask anywhere."""
    return any(_holds(kind, type(MASK)) for _, kind in rep.terms)


def present_points(rep: Rep, x: Tensor) -> Tensor | None:
    """Flat tensors (..., dim) that are 1 in the entries of points that are there and else 0; None without a mask."""
    layout = set_layout(rep) if has_mask(rep) else None
    if layout is None:
        return None
    there = torch.ones_like(x)
    there[..., layout.places.to(x.device)] = (
        layout.present(x)[..., None].to(x).expand(*x.shape[:-1], *layout.places.shape)
    )
    return there * cast(rep.translations.sum(-1), x)
