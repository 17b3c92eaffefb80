"""What is to be audited, as a value: a network, what it is called with, and how that should transform."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from equiwm.audit.calling import Call, modules_of, own_tensors
from equiwm.audit.draw import draw
from equiwm.audit.pytree import label, leaves
from equiwm.audit.typed import TypedLeaf, typed_leaves, undeclared
from equiwm.errors import DataError, GroupError, RepError
from equiwm.printable import quoted
from equiwm.symmetry.group import Group
from equiwm.symmetry.kinds import Kind
from equiwm.symmetry.laws import check_group, check_rep


@dataclass(frozen=True)
class Probe:
    """A network of anybody's, inputs for it, and the reps of what it takes and gives.

        >>> probe = Probe(model, inputs=batch, group="o3",
        ...               takes={"positions": "p", "numbers": "same"},
        ...               gives={"energy": "0e", "forces": "1o"}, call="**")

    Inputs and outputs are tensors, numpy arrays, or any nesting of tuples, lists, mappings, named tuples, dataclasses
    and objects with tensor attributes; `takes` and `gives` have the same form with reps for leaves. A rep describes the
    last axis of its leaf (or the last two, (copies, d)); axes before it are free. Another axis is said by
    `equiwm.Typed("1o", axis=1)`.

    Attributes:
        model: any callable.
        inputs: a batch as the model takes it; or a list of samples of any sizes, each as the model takes it; None
            draws a batch from the reps (`equiwm.draw`).
        group: a group or its name.
        takes: reps of the inputs; `same` for a leaf that carries no coordinates.
        gives: reps of the outputs; outputs that are not named are not judged.
        call: `*` or `**` spreads a tuple or mapping into arguments.
        kinds: kinds of representation of one's own that the texts name.
        alike: other descriptions of the same thing by name, each a map of a copy of a sample that no output may tell
            (the edges of a graph in another order); measured with the symmetries.
        axes: what `takes` and `gives` mean in the plane and space: the dimension d, where the group has none (`s5`).
    """

    model: Callable[..., Any]
    inputs: Any
    group: Group | str
    takes: Any
    gives: Any
    call: Call = ""
    kinds: Sequence[Kind] = ()
    axes: int = 3
    alike: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    modules: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.model):
            raise DataError(f"a probe's model is called; got {type(self.model).__name__}.")
        if self.call not in ("", "*", "**"):
            raise DataError(f"a probe's call is '', '*' or '**'; got {self.call!r}.")
        if not isinstance(self.alike, Mapping) or not all(map(callable, self.alike.values())):
            raise DataError("a probe's alike: expected a mapping of names to functions of a sample.")
        object.__setattr__(self, "group", self.group if isinstance(self.group, Group) else Group.parse(self.group))
        if self.inputs is None:
            drawn = draw(self.takes, self.acting, kinds=self.kinds, axes=self.axes)
            object.__setattr__(self, "inputs", drawn)
        if not self.samples:
            raise DataError("a probe needs inputs; got an empty list.")
        object.__setattr__(self, "modules", tuple(modules_of(self.model)))
        lazy = [name for name, tensor in own_tensors(self.modules).items() if nn.parameter.is_lazy(tensor)]
        if lazy:
            name = lazy[0].partition(":")[2]
            raise DataError(f"{name} of the network has no shape yet: call the network once, then make the probe.")
        check_group(self.acting)
        for leaf in self.typed_inputs(self.samples[0]):
            check_rep(leaf.rep, self.acting)

    @property
    def acting(self) -> Group:
        """The group as a value."""
        if not isinstance(self.group, Group):
            raise GroupError(f"'{self.group}' has not been read yet.")
        return self.group

    @property
    def d(self) -> int:
        """Dimension of the reps."""
        return self.acting.d or self.axes

    @property
    def samples(self) -> list[Any]:
        """The inputs, one entry a call."""
        return self.inputs if isinstance(self.inputs, list) else [self.inputs]

    def typed_inputs(self, sample: Any) -> list[TypedLeaf]:
        """The leaves of a sample that have a rep.

        Raises:
            RepError: a rep that does not fit; none at all; or an array that might hold coordinates and has none.
        """
        found = typed_leaves(sample, self.takes, self.d, "takes", self.kinds)
        if not found:
            raise RepError("takes names no input with a rep: nothing would be transformed.")
        open_ = undeclared(sample, self.takes, "takes")
        if open_:
            shape = tuple(leaves(sample)[open_[0]].shape)
            raise RepError(
                f"takes says nothing of {label(open_[0])}, numbers of shape {shape}: give its rep, or 'same' if it "
                "carries no coordinates."
            )
        return found

    def typed_outputs(self, output: Any) -> list[TypedLeaf]:
        """The leaves of an output that have a rep.

        Raises:
            RepError: a rep that does not fit, or none at all.
        """
        found = typed_leaves(output, self.gives, self.d, "gives", self.kinds)
        if not found:
            raise RepError("gives names no output with a rep: nothing would be judged.")
        for leaf in found:
            check_rep(leaf.rep, self.acting)
        return found

    def __repr__(self) -> str:
        name = getattr(self.model, "__qualname__", type(self.model).__name__)
        count = f"a list of {len(self.inputs)} samples" if isinstance(self.inputs, list) else "a batch"
        kinds = f"takes={quoted(self.takes)}, gives={quoted(self.gives)}"
        return f"Probe({name}, {count}, group={str(self.group)!r}, {kinds})"
