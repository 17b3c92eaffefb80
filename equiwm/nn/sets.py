"""Networks of sets: items that see each other in pairs, exactly equivariant to their order and to a group at once.

    h_i  = what an item carries, and what stands beside the set
    m_i  = sum_{j there, j != i} M(A h_i + B h_j + C (x_i - x_j))
    h_i' = U(h_i, m_i)

M, U are blocks of typed layers (`equiwm.nn.typed`), the same for every pair and every item, so that weights do not
depend on how many items there are, and an empty place has no part in any sum. Where the group translates, points enter
as differences alone: what one item does to another does not depend on where the set is, or on how large it is.
Source: ours, after Deep Sets (Zaheer et al. 2017) and interaction networks (Battaglia et al. 2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equiwm.errors import RepError
from equiwm.nn.layer import Layer
from equiwm.nn.typed import Block, Field, Mix, Parts, constant, hidden_field
from equiwm.symmetry.group import Group
from equiwm.symmetry.irreducibles import Irreducibles, irreducibles
from equiwm.symmetry.motions import translated_directions
from equiwm.symmetry.reps import Rep, vectors
from equiwm.symmetry.sets import SetLayout, set_layout

MESSAGE_BLOCKS = 2
"""Blocks of M: one gives forces that grow with the square of a distance, two give those that fade with it."""


class SetReading(nn.Module):
    """What an item is shown of a flat tensor of a rep: linear maps that no translation changes.

    An item of one or more points, of mean x_i, carries its points less x_i along the directions in which the group
    translates, and, where points stand beside the set, x_i less their mean. What stands beside the set is shown to
    every item, its points less their mean. Without `relative` everything is shown as it is given.

    Args:
        rep: holds a set.
        group: whose translations are taken off.
        relative: whether they are; otherwise they were.

    Raises:
        RepError: no set, or a set of masks alone.
    """

    own_map: Tensor
    beside_map: Tensor
    rest_map: Tensor
    place_map: Tensor

    def __init__(self, rep: Rep, group: Group, *, relative: bool) -> None:
        super().__init__()
        layout = set_layout(rep)
        if layout is None or layout.item is None:
            raise RepError(f"rep {rep} holds no set of items that carry something, such as perm5*(mask+p+1o).")
        self.layout: SetLayout = layout
        d, item, rest = rep.d, layout.item, layout.rest
        along = translated_directions(group, d)
        project = torch.eye(d, dtype=torch.float64) if along is None else along
        if not relative:
            project = torch.zeros_like(project)
        mean, own_map, own_kept = _less_mean(item, project)
        self.own_rep = _kept(item, own_kept)
        own_map = own_map[:, own_kept]
        beside = torch.zeros(0 if rest is None else rest.dim, own_map.shape[1], dtype=torch.float64)
        rest_map = torch.zeros(0, 0, dtype=torch.float64)
        self.rest_rep: Rep | None = None
        if rest is not None:
            rest_mean, rest_map, rest_kept = _less_mean(rest, project)
            self.rest_rep = _kept(rest, rest_kept)
            rest_map = rest_map[:, rest_kept]
            if relative and item.has_points and rest.has_points:
                own_map = torch.cat([own_map, mean], 1)
                beside = torch.cat([beside, -rest_mean], 1)
                self.own_rep = vectors(1, d) if self.own_rep is None else self.own_rep + vectors(1, d)
        self.place_rep = vectors(1, d) if item.has_points else None
        for name, value in (("own_map", own_map), ("beside_map", beside), ("rest_map", rest_map), ("place_map", mean)):
            self.register_buffer(name, constant(value), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(..., dim) -> what items carry (..., N, F), where they are (..., N, d), what all see (..., G), who is there.

        Empty places are zero.
        """
        items, others = self.layout.items(x), self.layout.others(x)
        own = items @ self.own_map
        if self.beside_map.shape[0]:
            own = own + (others @ self.beside_map)[..., None, :]
        return own, items @ self.place_map, others @ self.rest_map, self.layout.present(x)


def _less_mean(rep: Rep, project: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """The map onto the mean of a rep's points, (dim, d), zero of none; that which takes it off along `project`,
    (dim, dim); and the entries that are left: of a single point nothing is, where all directions are taken off."""
    shift = rep.translations
    points = float(shift[:, 0].sum())
    mean = shift / max(points, 1.0)
    less = torch.eye(rep.dim, dtype=torch.float64) - mean @ project @ shift.mT
    gone = points == 1.0 and torch.equal(project, torch.eye(rep.d, dtype=torch.float64))
    kept = [entry for entry in range(rep.dim) if not (gone and bool(shift[entry].any()))]
    return mean, less, kept


def _kept(rep: Rep, entries: Sequence[int]) -> Rep | None:
    """The terms of a rep of which entries are left, points as vectors; None of nothing."""
    found, start = [], 0
    for count, kind in rep.linear_part.terms:
        width = kind.dim(rep.d)
        found += [(1, kind) for copy in range(count) if start + copy * width in entries]
        start += count * width
    return Rep(found, rep.d) if found else None


class Exchange(nn.Module):
    """One round: every pair of items that are there, summed over the second one, then every item.

    Args:
        types: of the group, with their products.
        in_field: copies of each type that an item carries.
        between: copies of each type of what lies between two items; None of nothing.
        width: of the blocks.
    """

    def __init__(self, types: Irreducibles, in_field: Field, between: Field | None, width: int) -> None:
        super().__init__()
        hidden, pairs = hidden_field(width, types), max(1, width // 4)
        third = 1.0 / 3.0
        self.here = Mix(types.types, in_field, hidden, variance=third)
        self.there = Mix(types.types, in_field, hidden, bias=False, variance=third)
        self.between = None if between is None else Mix(types.types, between, hidden, bias=False, variance=third)
        self.message = nn.ModuleList(Block(types, hidden, hidden, pairs) for _ in range(MESSAGE_BLOCKS))
        joined = tuple(a + b for a, b in zip(in_field, hidden, strict=True))
        self.update = Block(types, joined, hidden, pairs)
        self.out_field = hidden

    def forward(self, x: list[Tensor], between: list[Tensor] | None, meet: Tensor) -> list[Tensor]:
        """Fields (..., N, d_t, n_t), fields of pairs (..., N, N, d_t, n_t) and which pairs meet, (..., N, N)."""
        first, second = self.here(x), self.there(x)
        pair = [a.unsqueeze(-3) + b.unsqueeze(-4) for a, b in zip(first, second, strict=True)]
        if self.between is not None and between is not None:
            pair = [a + b for a, b in zip(pair, self.between(between), strict=True)]
        for block in self.message:
            pair = block(pair)
        weight = meet[..., None, None]
        received = [(part * weight).sum(-3) for part in pair]
        updated: list[Tensor] = self.update([torch.cat([a, b], -1) for a, b in zip(x, received, strict=True)])
        return updated


class SetNetwork(Layer):
    """A network of a set, and of what stands beside it, to items, or to what stands beside a set, or to both.

    y_i = L h_i + W h_i^(n) of every item that is there, and y = L' (beside) + W' mean_{i there} h_i^(n). Empty places
    of what it gives are zero. Flat -> flat.

    Args:
        in_rep: holds a set.
        out_rep: rep of what it gives, without points; its set, if it has one, has the same places.
        group: the group; permutations of items are carried whether or not it holds them.
        widths: one round (`Exchange`) each.
        relative: see `SetReading`.
        change: what it gives is a change: its mask is zero, for items neither come nor go; otherwise it is the set's.

    Raises:
        RepError: no set, sets of two sizes, points in what it gives, or quaternions.
    """

    def __init__(
        self, in_rep: Rep, out_rep: Rep, group: Group, widths: Sequence[int], *, relative: bool, change: bool
    ) -> None:
        super().__init__(in_rep, out_rep, "flat")
        self._change = change
        self.reading = SetReading(in_rep, group, relative=relative)
        made = set_layout(out_rep)
        if made is not None and made.count != self.reading.layout.count:
            raise RepError(
                f"a set of {self.reading.layout.count} items ({in_rep}) does not become one of {made.count} "
                f"({out_rep})."
            )
        if out_rep.has_points:
            raise RepError(f"a network of a set gives no points; got rep {out_rep}.")
        self.made = made
        item, rest = (None, out_rep) if made is None else (made.item, made.rest)
        own, beside, place = self.reading.own_rep, self.reading.rest_rep, self.reading.place_rep
        reps = [rep for rep in (own, beside, place, item, rest) if rep is not None]
        types = irreducibles(group, *(rep.linear_part for rep in reps))
        self.own, self.beside, self.place, self.item, self.rest = (
            None if rep is None else Parts(rep, types) for rep in (own, beside, place, item, rest)
        )
        none = (0,) * len(types.types)
        self._dims = [kind.dim for kind in types.types]
        beside_field = none if self.beside is None else self.beside.field
        first = tuple(a + b for a, b in zip(none if self.own is None else self.own.field, beside_field, strict=True))
        field, rounds = first, []
        for width in widths:
            rounds.append(Exchange(types, field, None if self.place is None else self.place.field, width))
            field = rounds[-1].out_field
        self.rounds = nn.ModuleList(rounds)
        third = 1.0 / 3.0
        if self.item is not None:
            self.item_last = Mix(types.types, field, self.item.field, variance=third)
            self.item_skip = Mix(types.types, first, self.item.field, bias=False, variance=third)
        if self.rest is not None:
            self.rest_last = Mix(types.types, field, self.rest.field, variance=third)
            self.rest_skip = Mix(types.types, beside_field, self.rest.field, bias=False, variance=third)

    def forward(self, x: Tensor) -> Tensor:
        own, places, beside, present = self.reading(x)
        count, order, mask = own.shape[-2], _order(present), None if self._change else present
        if order is not None:
            own, places, present = _taken(own, order), _taken(places, order), present.gather(-1, order)
        rest_seen = self._nothing(beside) if self.beside is None else self.beside(beside)
        first = self._nothing(own) if self.own is None else self.own(own)
        first = [
            torch.cat([a, b.unsqueeze(-3).expand(*a.shape[:-1], b.shape[-1])], -1)
            for a, b in zip(first, rest_seen, strict=True)
        ]
        n = present.shape[-1]
        apart = ~torch.eye(n, dtype=torch.bool, device=x.device)
        meet = (present.unsqueeze(-1) & present.unsqueeze(-2) & apart).to(x.dtype)
        between = None if self.place is None else self.place(places.unsqueeze(-2) - places.unsqueeze(-3))
        hidden = first
        for each in self.rounds:
            hidden = each(hidden, between, meet)
        there = present.to(x.dtype)
        items, others = x.new_zeros(*x.shape[:-1], count, 0), x.new_zeros(*x.shape[:-1], 0)
        if self.item is not None:
            made = self.item.joined([a + b for a, b in zip(self.item_skip(first), self.item_last(hidden), strict=True)])
            items = _put_back(made * there[..., None], order, count)
        if self.rest is not None:
            weight = there / there.sum(-1, keepdim=True).clamp(min=1.0)
            pooled = [(part * weight[..., None, None]).sum(-3) for part in hidden]
            found = zip(self.rest_skip(rest_seen), self.rest_last(pooled), strict=True)
            others = self.rest.joined([a + b for a, b in found])
        return others if self.made is None else self.made.joined(items, others, mask)

    def _nothing(self, like: Tensor) -> list[Tensor]:
        """Fields without a channel."""
        return [like.new_zeros(*like.shape[:-1], d, 0) for d in self._dims]


def _order(present: Tensor) -> Tensor | None:
    """The places of those that are there, first, as many as the fullest sample has: nothing is computed for the rest.

    None where that saves nothing, or where a program is traced, whose shapes may not depend on the data.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or not present.numel():
        return None
    most = max(1, int(present.sum(-1).max()))
    if most == present.shape[-1]:
        return None
    return (~present).to(torch.uint8).argsort(dim=-1, stable=True)[..., :most]


def _taken(x: Tensor, order: Tensor) -> Tensor:
    return x.gather(-2, order[..., None].expand(*order.shape, x.shape[-1]))


def _put_back(x: Tensor, order: Tensor | None, count: int) -> Tensor:
    if order is None:
        return x
    whole = x.new_zeros(*x.shape[:-2], count, x.shape[-1])
    return whole.scatter(-2, order[..., None].expand(x.shape), x)
