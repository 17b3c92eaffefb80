"""Repair: any network made exactly equivariant by an average, at the price of several passes a call.

    F(x) = mean_{h in F(x)} rho_out(h) f(rho_in(h)^-1 x)

is equivariant whatever f is, if the finite set F(x) turns with x: F(g x) = g F(x). Two such sets (Puny et al. 2022,
"Frame Averaging for Invariant and Equivariant Network Design"):

- `average`: a finite group, or a finite subgroup of an infinite one, the same for every x. Exact on that subgroup.
- `frame`: the principal axes of the vectors of x, with every choice of signs that the group allows: 2 or 4 elements
  for rotations of the plane and space, 4 or 8 with reflections. Exact on the whole group, and it jumps where two axes
  change places.

Translations are taken off with the centroid of the points in both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from equiwm.audit.calling import Call, cast, spread
from equiwm.audit.probe import Probe
from equiwm.audit.pytree import Path, is_array, label, leaves, replaced
from equiwm.audit.typed import SAME, TypedLeaf, declared, typed_leaf, typed_leaves, undeclared
from equiwm.errors import DataError, GroupError, RepError
from equiwm.symmetry.canonical import FrameRule, finite_part, frame_rule, listed, listed_rule, shifts_of
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.frames import NEAR, moved_vectors, vectors_of
from equiwm.symmetry.group import Group
from equiwm.symmetry.kinds import Kind
from equiwm.symmetry.laws import check_group, check_rep
from equiwm.symmetry.reps import Rep

LEAST_GAP = 1e-6
"""Relative gap of two principal moments below which there is no frame: rounding (1e-16) would turn the axes by more
than 1e-10."""

How = Literal["frame", "average"]
Degenerate = Literal["raise", "fade"]


def symmetrise(
    module: Callable[..., Any],
    group: Group | str,
    reps: tuple[Any, Any],
    how: How = "frame",
    *,
    call: Call = "",
    batched: bool = True,
    subgroup: Group | str | None = None,
    degenerate: Degenerate = "raise",
    kinds: Sequence[Kind] = (),
    axes: int = 3,
) -> Symmetrised:
    """A network that is equivariant whatever `module` is.

        >>> exact = equiwm.symmetrise(net, "o3", ({"positions": "p", "numbers": "same"}, {"energy": "0e"}), call="**")

    Args:
        module: called as before; its parameters are the parameters of what is returned.
        group: a group or its name.
        reps: (takes, gives), in the form of the inputs and outputs, as a `Probe` has them. Every floating output is
            named, what does not turn by `same`.
        how: `frame`, exact on the whole group; or `average` over a finite group.
        call: `*` or `**` where it is called with the parts of a tuple or mapping.
        batched: whether the first axis of every leaf that has a rep counts independent samples, each with a frame and
            a centroid of its own; False for one structure (one graph) a call.
        subgroup: what `average` takes of an infinite group; None is C_8 or D_8 of a circle, the symmetries of the
            cube in space.
        degenerate: what `frame` does with an input whose axes are not determined (points on a line, in a cube):
            `raise`, or `fade`, which multiplies the output by the relative gap of its moments over 0.05, up to 1.
        kinds: kinds of representation of one's own that the texts name.
        axes: dimension of the reps, where the group has none (`s5`).

    Raises:
        GroupError: no frame, no finite subgroup, more than 1024 elements, or a subgroup that is none.
        RepError: a rep that cannot be read, no vector that a frame could be read off, an output that translations
            move and no input that they do, or an output that is known up to sign.
    """
    return Symmetrised(
        module,
        check_group(group if isinstance(group, Group) else Group.parse(group)),
        reps,
        how,
        call=call,
        batched=batched,
        subgroup=subgroup,
        degenerate=degenerate,
        kinds=kinds,
        axes=axes,
    )


@dataclass(frozen=True)
class Cost:
    """What it costs to have symmetrised a network, on some samples.

    Attributes:
        passes: forward passes of the network a call.
        error: output leaf -> RMS of the difference to the network itself, relative to the RMS of its output.
        near: share of the inputs whose frame is about to jump: two principal moments within 5% of the largest.
        least_gap: the smallest relative gap of two moments; infinite where no frame is read.
    """

    passes: int
    error: Mapping[str, float]
    near: float
    least_gap: float


class Symmetrised(nn.Module):
    """What `symmetrise` gives.

    The frame is computed in float64 and without gradient: a derivative of an eigenvector grows as 1 / gap. What is
    differentiated through is f, at a frame that is held fixed; forces that are to be the exact gradient of an energy
    are better symmetrised themselves than differentiated from one.

    Attributes:
        module: the network.
        group: the group that was asked for.
        exact_on: the group on which it is exact, without translations: the whole one, or a finite subgroup of it.
        how: `frame` or `average`.
    """

    group_averaged = True

    def __init__(
        self,
        module: Callable[..., Any],
        group: Group,
        reps: tuple[Any, Any],
        how: How,
        *,
        call: Call,
        batched: bool,
        subgroup: Group | str | None,
        degenerate: Degenerate,
        kinds: Sequence[Kind],
        axes: int,
    ) -> None:
        super().__init__()
        _check_arguments(module, reps, how, call, degenerate)
        if subgroup is not None and how == "frame":
            raise GroupError("how='frame' is exact on the whole group; a subgroup is for how='average'.")
        self.module, self.group, self.how = module, group, how
        self.call, self.batched, self.degenerate = call, batched, degenerate
        self.kinds, self.d = tuple(kinds), group.d or axes
        self.takes, self.gives = reps
        self._shifts = shifts_of(group)
        self.exact_on = group if how == "frame" else _subgroup(group, subgroup)
        self._rule = self._made_rule()
        self._check_reps()

    def _made_rule(self) -> FrameRule:
        return frame_rule(self.group) if self.how == "frame" else listed_rule(listed(self.exact_on))

    def __getstate__(self) -> dict[str, Any]:
        """All but the rule, which is made of functions and made again: a whole module can be saved."""
        return {name: value for name, value in self.__dict__.items() if name != "_rule"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._rule = self._made_rule()

    @property
    def passes(self) -> int:
        """Forward passes of the network a call."""
        return self._rule.count

    def extra_repr(self) -> str:
        """What it is exact on, and what a call costs."""
        moved = " and translations" if bool(self._shifts.any()) and self.how == "average" else ""
        part = "" if self.exact_on is self.group else f", a subgroup of {self.group}"
        return f"{self.how}: exact on {self.exact_on}{moved}{part}; {self.passes} passes a call"

    def probe(self, inputs: Any) -> Probe:
        """A probe of it, of the group on which it is exact."""
        return Probe(self, inputs, self.exact_on, self.takes, self.gives, call=self.call, kinds=self.kinds, axes=self.d)

    def forward(self, *arguments: Any, **named: Any) -> Any:
        """The average; called as the network is, and gives what it gives.

        Raises:
            RepError: a leaf that does not fit its rep, or a floating one that has none.
            DataError: an input that has no frame, or outputs without a rep that differ from pass to pass.
        """
        sample = self._sample(arguments, named)
        typed = self._typed(sample, self.takes, "takes")
        centre, moments = self._seen(sample, typed)
        elements, gaps = self._rule.frames(moments)
        elements = elements.acting_on(self.d, self.group.items)
        weight = self._weight(gaps)
        centred = Elements(elements.linear, centre[:, None].expand(elements.linear.shape[:-1]), elements.permutation)
        there, found = leaves(sample), []
        for k in range(self.passes):
            back = centred[:, k].inverse()
            new = {leaf.path: self._acted(leaf, there[leaf.path], back) for leaf in typed}
            found.append((centred[:, k], spread(self.module, replaced(sample, new), self.call)))
        return self._mean(found, weight, centre)

    def cost(self, samples: Sequence[Any]) -> Cost:
        """Passes, difference to the network itself and near-degenerate frames, on some inputs.

        Args:
            samples: each as the network takes it; a tuple or mapping where it is called with its parts.
        """
        off: dict[str, list[Tensor]] = {}
        size: dict[str, list[Tensor]] = {}
        gaps = []
        for sample in samples:
            typed = self._typed(sample, self.takes, "takes")
            gaps.append(self._rule.frames(self._seen(sample, typed)[1])[1])
            dtype = torch.as_tensor(leaves(sample)[typed[0].path]).dtype
            made, plain = (spread(each, cast(sample, dtype), self.call) for each in (self, self.module))
            for leaf in self._typed(made, self.gives, "gives"):
                new, old = (leaf.flat(leaves(tree)[leaf.path]).detach().double() for tree in (made, plain))
                off.setdefault(leaf.name, []).append((new - old).square().flatten())
                size.setdefault(leaf.name, []).append(old.square().flatten())
        every = torch.cat(gaps)
        error = {
            name: float((torch.cat(parts).mean() / torch.cat(size[name]).mean().clamp(min=1e-300)).sqrt())
            for name, parts in off.items()
        }
        return Cost(self.passes, error, float((every < NEAR).double().mean()), float(every.min()))

    def audit_note(self, samples: Sequence[Any]) -> str:
        """What an audit says of it: one or two sentences."""
        cost = self.cost(samples)
        errors = ", ".join(f"{name} {error:.1e}" for name, error in cost.error.items())
        text = f"{self.extra_repr()}. Its outputs differ from those of the network by {errors} (relative RMS)."
        if self._rule.reads:
            text += (
                f" {100 * cost.near:.0f}% of the inputs are within {NEAR:g} of a jump of the frame (smallest relative "
                f"gap {cost.least_gap:.1e})."
            )
        return text

    # Parts of a call

    def _sample(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """What the reps describe, of the arguments of a call."""
        if self.call == "**" and not arguments:
            return named
        if self.call == "*" and not named:
            return arguments
        if self.call == "" and len(arguments) == 1 and not named:
            return arguments[0]
        expected = {"": "one argument", "*": "positional arguments", "**": "named arguments"}[self.call]
        raise DataError(
            f"it was symmetrised with call={self.call!r}, and takes {expected} alone; got {len(arguments)} positional "
            f"and {len(named)} named."
        )

    def _typed(self, tree: Any, spec: Any, what: str) -> list[TypedLeaf]:
        open_ = undeclared(tree, spec, what)
        if open_:
            raise RepError(f"{what} says nothing of {label(open_[0])}: give its rep, or 'same'.")
        found = typed_leaves(tree, spec, self.d, what, self.kinds)
        there = leaves(tree)
        for leaf in found if self.batched else ():
            if leaf.flat(there[leaf.path]).dim() < 2:
                raise RepError(
                    f"{leaf.name} of {what} has no axis that counts samples; say batched=False for one structure a "
                    "call."
                )
        sizes = {leaf.name: len(leaf.flat(there[leaf.path])) for leaf in found} if self.batched else {}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise RepError(f"the first axes of {what} count samples and differ: {told}; say batched=False if not.")
        return found

    def _seen(self, sample: Any, typed: list[TypedLeaf]) -> tuple[Tensor, Tensor]:
        """Centroid (B, d) of the points, along the group's translations, and moments (B, d, d) of the vectors."""
        parts: list[tuple[Tensor, Tensor]] = []
        there = leaves(sample)
        for leaf in typed:
            flat = leaf.flat(there[leaf.path]).detach().cpu().double()
            rows = vectors_of(flat if self.batched else flat[None], leaf.rep)  # (B, ..., C, d)
            moves = moved_vectors(leaf.rep).expand(rows.shape[1:-1]).flatten()
            parts.append((rows.flatten(1, -2), moves))
        rows, moves = torch.cat([part for part, _ in parts], 1), torch.cat([moves for _, moves in parts])
        if not bool(rows.isfinite().all()):
            raise DataError("an input with a rep holds NaN or infinity.")
        shifts = self._shifts if len(self._shifts) else torch.zeros(self.d, self.d, dtype=torch.float64)
        centre = rows[:, moves].mean(1) @ shifts if bool(moves.any()) else rows.new_zeros(len(rows), self.d)
        about = torch.where(moves[:, None], rows - centre[:, None], rows)
        return centre, about.mT @ about

    def _weight(self, gaps: Tensor) -> Tensor | None:
        """What the output is multiplied by, (B,); None is 1.

        Raises:
            DataError: an input that has no frame, if that is asked for.
        """
        if self.degenerate == "fade" and self._rule.reads:
            return (gaps / NEAR).clamp(0.0, 1.0)
        short = torch.nonzero(~(gaps > LEAST_GAP)).flatten()
        if len(short):
            first = int(short[0])
            raise DataError(
                f"sample {first} has no frame: two principal moments of its vectors are {float(gaps[first]):.1e} apart "
                "(one vector alone, points on a line, an isotropic cloud). Give degenerate='fade', or how='average'."
            )
        return None

    def _acted(self, leaf: TypedLeaf, value: Any, g: Elements) -> Any:
        return leaf.restored(self._transformed(leaf, value, g), value)

    def _transformed(self, leaf: TypedLeaf, value: Any, g: Elements) -> Tensor:
        flat = leaf.flat(value)
        shape = (slice(None), *(None,) * (flat.dim() - 2)) if self.batched else (0,)
        return leaf.rep.transform(flat, g[shape])

    def _mean(self, found: list[tuple[Elements, Any]], weight: Tensor | None, centre: Tensor) -> Any:
        """The mean of what the passes gave, each turned back."""
        first = found[0][1]
        typed = {leaf.path: leaf for leaf in self._typed(first, self.gives, "gives")}
        if not typed and not declared(self.gives, "gives"):
            raise RepError("gives names no output: nothing would be averaged.")
        made: dict[Path, Any] = {}
        given = [leaves(output) for _, output in found]
        for path, value in given[0].items():
            every = [each[path] for each in given]
            leaf = typed.get(path)
            if leaf is not None:
                turned = [self._transformed(leaf, each, g) for (g, _), each in zip(found, every, strict=True)]
                mean = torch.stack(turned).mean(0)
                made[path] = leaf.restored(self._faded(leaf, mean, weight, centre), value)
            elif is_array(value) and torch.as_tensor(value).is_floating_point():
                made[path] = torch.stack([torch.as_tensor(each) for each in every]).mean(0)
            elif not all(_same(value, each) for each in every):
                raise DataError(
                    f"{label(path)} of the output has no rep and differs from pass to pass: it cannot be averaged."
                )
        return replaced(first, made)

    def _faded(self, leaf: TypedLeaf, mean: Tensor, weight: Tensor | None, centre: Tensor) -> Tensor:
        """w y + (1 - w) y_0, y_0 zero or the centroid."""
        if weight is None:
            return mean
        still = torch.eye(self.d, dtype=torch.float64).expand(len(centre), -1, -1)
        nothing = self._transformed(leaf, torch.zeros_like(mean), Elements(still, centre))
        shape = weight[(slice(None), *(None,) * (mean.dim() - 1))] if self.batched else weight[0]
        return nothing + shape.to(mean) * (mean - nothing)

    def _check_reps(self) -> None:
        """Refuse what no input could mend.

        Raises:
            RepError, GroupError: as `symmetrise`.
        """
        given, made = (self._reps(spec, what) for spec, what in ((self.takes, "takes"), (self.gives, "gives")))
        for rep in (*given, *made):
            check_rep(rep, self.group)
        if not given:
            raise RepError("takes names no input with a rep: nothing would be turned.")
        if self._rule.reads and not any(vectors_of(torch.zeros(rep.dim), rep).numel() for rep in given):
            names = ", ".join(map(str, given))
            raise RepError(f"no frame can be read off {names}: it takes vectors or points. Give how='average'.")
        if any(kind.sign_blind for rep in made for _, kind in rep.terms):
            raise RepError("an output of kind quat is known up to sign, and cannot be averaged.")
        moved = bool(self._shifts.any())
        if moved and any(rep.has_points for rep in made) and not any(rep.has_points for rep in given):
            raise RepError(f"{self.group} translates points: gives has some, and takes has none to follow.")

    def _reps(self, spec: Any, what: str) -> list[Rep]:
        given = declared(spec, what).items()
        return [typed_leaf(path, rep, self.d, self.kinds).rep for path, rep in given if rep != SAME]


def _check_arguments(module: Any, reps: Any, how: str, call: str, degenerate: str) -> None:
    if not callable(module):
        raise DataError(f"symmetrise takes a network; got {type(module).__name__}, which is not called.")
    if not isinstance(reps, tuple) or len(reps) != 2:
        raise RepError("reps: expected (takes, gives), two reps or two mappings of reps.")
    for what, given, known in (
        ("how", how, ("frame", "average")),
        ("call", call, ("", "*", "**")),
        ("degenerate", degenerate, ("raise", "fade")),
    ):
        if given not in known:
            raise DataError(f"{what}: got {given!r}, expected {', '.join(map(repr, known))}.")


def _subgroup(group: Group, given: Group | str | None) -> Group:
    """What an average is over.

    Raises:
        GroupError: no finite subgroup is known, or the given one is infinite or no subgroup.
    """
    if given is None:
        return finite_part(group)
    part = check_group(given if isinstance(given, Group) else Group.parse(given))
    if not part.is_finite:
        raise GroupError(f"subgroup: {part} is not finite; give a finite subgroup of {group}.")
    if part not in group:
        raise GroupError(f"subgroup: {part} is not a subgroup of {group}.")
    return part


def _same(one: Any, other: Any) -> bool:
    if is_array(one) and is_array(other):
        return torch.equal(torch.as_tensor(one), torch.as_tensor(other))
    return bool(one == other) or one is other
