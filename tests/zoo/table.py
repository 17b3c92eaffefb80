"""The zoo: every network with its truth."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equiwm.audit.probe import Probe
from equiwm.audit.typed import Typed

from . import odd
from .case import EQUIVARIANT, NOT, UP_TO_PRECISION, Case, built, drawn
from .clouds import Framed, Messages, PointNet, PointTransformer, Potential
from .finite import Actor, Mirrored, Pixels, SetNetwork, Steerable
from .graphs import GraphNetwork, OnData, Pair, Prediction, edges, molecules, periodic, springs
from .vectors import Spherical, Stress, VectorNeurons

BROKEN = ("broken",)
APPROXIMATE = ("approximate",)
VACUOUS = ("vacuous",)
RIGHT = (*EQUIVARIANT, *UP_TO_PRECISION)
NOT_DETERMINISTIC = ("not deterministic",)
STATE = (*NOT_DETERMINISTIC, "mutating")

OBSERVE, ACT = (2, 1, -3, 4, 6, 5), (2, 1, -3)


# Probes


def cloud(model: Callable[[torch.dtype], Any], gives: Any, group: str = "e3", n: int = 6, batch: int = 64, **more: Any):
    """A batch of clouds of points."""

    def make(dtype: torch.dtype) -> Probe:
        return Probe(model(dtype), drawn(batch, n, 3, dtype=dtype), group, f"{n}xp", gives, **more)

    return make


def vectors(
    model: Callable[[torch.dtype], Any],
    gives: Any = "3x1o",
    group: str = "o3",
    takes: str = "4x1o",
    inputs: Callable[[torch.dtype], Tensor] = lambda dtype: drawn(64, 4, 3, dtype=dtype),
):
    """A batch of four vectors."""
    return lambda dtype: Probe(model(dtype), inputs(dtype), group, takes, gives)


def fn(function: Callable[..., Any], gives: Any = "4x1o", group: str = "o3", takes: str = "4x1o", inputs: Any = None):
    """A function of four vectors."""
    return vectors(lambda _: function, gives, group, takes, inputs or (lambda dtype: drawn(64, 4, 3, dtype=dtype)))


def messages(break_: str | None = None, at: int = 1):
    return cloud(lambda dtype: built(Messages, break_, at, dtype=dtype), {"points": "6xp", "energy": "0e"}, group="e3")


def neurons(break_: str | None = None, size: float = 0.0, gate: str = "half", **more: Any):
    return vectors(lambda dtype: built(VectorNeurons, 8, break_, size, gate, dtype=dtype), **more)


def transformer(group: str = "e3*s6", **settings: Any):
    def make(dtype: torch.dtype) -> Probe:
        return Probe(
            built(PointTransformer, 6, dtype=dtype, **settings),
            (drawn(320, 6, 3, dtype=dtype), drawn(320, 6, 4, dtype=dtype, seed=1)),
            group,
            ("perm6*p", "perm6*(4x0e)"),
            ("perm6*p", "perm6*(4x0e)"),
            call="*",
        )

    return make


def potential(n: int = 5, **settings: Any):
    return cloud(
        lambda dtype: built(Potential, dtype=dtype, **settings), {"energy": "0e", "forces": f"{n}x1o"}, n=n, batch=32
    )


def spherical(tilt: float = 0.0, rep: str = "2e", group: str = "o3"):
    def make(dtype: torch.dtype) -> Probe:
        model = built(Spherical, tilt, dtype=dtype)
        return Probe(
            model, drawn(48, 5, 3, dtype=dtype), group, "5xp", {"scalar": "0e", "vector": "1o", "degree2": rep}
        )

    return make


def e3nn_ordered(dtype: torch.dtype) -> Probe:
    """Degree 2 in the basis of another library, declared as ours."""
    from equiwm.symmetry.e3nn_basis import to_e3nn

    inner = built(Spherical, dtype=dtype)

    def model(points: Tensor) -> Tensor:
        return inner(points)["degree2"] @ to_e3nn(2).to(points).mT

    return Probe(model, drawn(48, 5, 3, dtype=dtype), "o3", "5xp", "2e")


def image(break_: bool):
    def make(dtype: torch.dtype) -> Probe:
        pixels = Pixels(4)
        model = built(Steerable, 4, break_, dtype=dtype)
        return Probe(model, drawn(96, 16, dtype=dtype), "c4", "pixels4", "pixels4*1o", kinds=(pixels,))

    return make


def item_set(break_: bool):
    def make(dtype: torch.dtype) -> Probe:
        x = drawn(96, 5, 3, dtype=dtype)
        return Probe(built(SetNetwork, 5, break_, dtype=dtype), x, "s5", "perm5*(3x0e)", ("perm5", "0e"))

    return make


def policy(wrong: bool = False, declared: str = "signed[2,1,-3]"):
    def make(dtype: torch.dtype) -> Probe:
        x = drawn(64, 6, dtype=dtype)
        return Probe(built(Mirrored, OBSERVE, ACT, wrong, dtype=dtype), x, "mirrory", "signed[2,1,-3,4,6,5]", declared)

    return make


def actor(north: float = 0.0, group: str = "so2z"):
    def make(dtype: torch.dtype) -> Probe:
        state = {
            "velocity": drawn(64, 3, dtype=dtype),
            "gravity": drawn(64, 3, dtype=dtype, seed=1),
            "joints": drawn(64, 4, dtype=dtype, seed=2),
        }
        takes = {"velocity": "1o", "gravity": "1o", "joints": "same"}
        gives = {"push": "1o", "torques": "4x0e"}
        return Probe(built(Actor, north, dtype=dtype), state, group, takes, gives, call="**")

    return make


def graph_list(by_component: bool = False, count: int = 12):
    def make(dtype: torch.dtype) -> Probe:
        samples = [{"pos": g.pos, "numbers": g.numbers, "edge_index": g.edge_index} for g in molecules(count, dtype)]
        takes = {"pos": Typed("p", axis=-1), "numbers": "same", "edge_index": "same"}
        gives = {"energy": "0e", "forces": Typed("1o", axis=-1)}
        return Probe(built(GraphNetwork, by_component, dtype=dtype), samples, "e3", takes, gives, call="**")

    return make


def graph_data(by_component: bool = False):
    def make(dtype: torch.dtype) -> Probe:
        model = OnData(built(GraphNetwork, by_component, lambda energy, forces: (energy, forces), dtype=dtype))
        takes = {"pos": Typed("p", axis=-1), "numbers": "same", "edge_index": "same"}
        return Probe(model, molecules(12, dtype), "e3", takes, ("0e", Typed("1o", axis=-1)))

    return make


def one_graph(dtype: torch.dtype) -> Probe:
    """Nodes of one molecule, its edges closed over."""
    inner = built(GraphNetwork, dtype=dtype)
    numbers, index = torch.tensor([1, 2, 3, 1, 2, 2, 1]), edges(7)

    def model(pos: Tensor) -> Prediction:
        return inner(pos, numbers, index)

    return Probe(model, drawn(7, 3, dtype=dtype), "e3", "p", {"energy": "0e", "forces": "1o"})


def named_tuple(dtype: torch.dtype) -> Probe:
    def give(energy: Tensor, forces: Tensor) -> Pair:
        return Pair(energy, forces.square().sum(-1) @ forces)

    samples = [(g.pos, g.numbers, g.edge_index) for g in molecules(12, dtype)]
    takes = (Typed("p", axis=-1), "same", "same")
    return Probe(built(GraphNetwork, False, give, dtype=dtype), samples, "e3", takes, Pair("0e", "1o"), call="*")


def in_numpy(stretch: float):
    def make(dtype: torch.dtype) -> Probe:
        x = drawn(64, 5, 3, dtype=dtype).numpy()
        return Probe(lambda p: springs(p, stretch), x, "e3", "5xp", "5x1o")

    return make


def crystal(cell: str):
    def make(dtype: torch.dtype) -> Probe:
        lattice = 1.5 * torch.eye(3, dtype=dtype) + 0.2 * drawn(32, 3, 3, dtype=dtype)
        fractions = torch.from_numpy(np.random.default_rng(3).random((32, 4, 3))).to(dtype)
        return Probe(periodic, (fractions @ lattice, lattice), "e3", ("4xp", cell), "0e", call="*")

    return make


def far(offset: float, function: Any):
    return lambda dtype: Probe(function, 3 * drawn(64, 6, 3, dtype=dtype) + offset, "e3", "6xp", "6x0e")


def data(function: Any, inputs: Callable[[torch.dtype], Tensor], gives: str = "4x1o", group: str = "o3"):
    return lambda dtype: Probe(function, inputs(dtype), group, "4x1o", gives)


def planar(dtype: torch.dtype) -> Tensor:
    x = drawn(64, 4, 3, dtype=dtype)
    x[..., 2] = 0.0
    return x


def on_a_line(dtype: torch.dtype) -> Tensor:
    return drawn(64, 4, 1, dtype=dtype) * torch.tensor([0.0, 1.0, 0.0], dtype=dtype)


def copies(dtype: torch.dtype) -> Tensor:
    return drawn(1, 4, 3, dtype=dtype).expand(16, 4, 3).clone()


def nearly_copies(dtype: torch.dtype) -> Tensor:
    return drawn(1, 4, 3, dtype=dtype) + 1e-4 * drawn(16, 4, 3, dtype=dtype, seed=1)


def repeated(function: Any, gives: str):
    """Eight copies of one cloud."""
    return lambda dtype: Probe(function, drawn(1, 6, 3, dtype=dtype).expand(8, 6, 3).clone(), "se3", "6xp", gives)


def with_outlier(dtype: torch.dtype) -> Tensor:
    x = drawn(64, 4, 3, dtype=dtype)
    x[11] *= 1e12
    return x


def numbers(dtype: torch.dtype) -> Tensor:
    return drawn(32, 12, dtype=dtype)


def lattice(dtype: torch.dtype) -> Probe:
    """Simple cubic cells, displaced as wholes: neighbours lie at the cut-off."""
    sites = torch.cartesian_prod(*[torch.arange(3.0, dtype=dtype)] * 3)
    x = sites + torch.arange(8.0, dtype=dtype)[:, None, None]
    return Probe(odd.lattice_sum, x, "so3", "27xp", "27x1o")


def in_plane(size: float):
    return lambda dtype: Probe(
        lambda v: odd.squares_in_plane(v, size), drawn(64, 4, 2, dtype=dtype), "o2", "4x1o", "4xm2"
    )


def single_normed(training: bool):
    def make(dtype: torch.dtype) -> Probe:
        model = built(odd.SingleNormed, dtype=dtype).train(training)
        return Probe(model, drawn(64, 3, dtype=dtype), "so3", "1o", "1o")

    return make


def with_padding(dtype: torch.dtype) -> Probe:
    there = torch.ones(32, 6, dtype=torch.bool)
    there[::2, 4:] = False
    return Probe(odd.padded, (drawn(32, 6, 3, dtype=dtype), there), "se3", ("6xp", "same"), "6x1o", call="*")


def places(dtype: torch.dtype) -> Probe:
    return Probe(odd.one_place, drawn(4, 3000, 3, dtype=dtype), "se3", Typed("p", -1), Typed("1o", -1))


def cloud_at(offset: float, count: int = 64):
    return lambda dtype: Probe(
        lambda p: p - p.mean(1, keepdim=True), drawn(count, 4, 3, dtype=dtype) + offset, "se3", "4xp", "4x1o"
    )


def beside_zeros(function: Any):
    """Four vectors, and four that are zero, as velocities at rest."""

    def make(dtype: torch.dtype) -> Probe:
        x = drawn(64, 4, 3, dtype=dtype)
        return Probe(function, (x, torch.zeros_like(x)), "o3", ("4x1o", "4x1o"), "4x1o", call="*")

    return make


def two_scales(dtype: torch.dtype) -> Probe:
    x, y = 1e-6 * drawn(64, 4, 3, dtype=dtype), 1e6 * drawn(64, 4, 3, dtype=dtype, seed=1)
    return Probe(lambda a, b: 1e6 * a + 1e-6 * b, (x, y), "o3", ("4x1o", "4x1o"), "4x1o", call="*")


def in_pieces(function: Any, gives: str):
    """A list of samples."""
    return lambda dtype: Probe(function, list(drawn(12, 4, 3, dtype=dtype)), "o3", Typed("1o", -1), gives)


def in_float32(size: float) -> Probe:
    return Probe(lambda v: odd.only_float32(v, size), drawn(64, 4, 3, dtype=torch.float32), "o3", "4x1o", "4x1o")


def with_zeros(dtype: torch.dtype) -> Tensor:
    x = drawn(64, 4, 3, dtype=dtype)
    x[::3, 1] = 0.0
    x[5] = 0.0
    return x


def with_one_long(dtype: torch.dtype) -> Tensor:
    x = 0.5 * drawn(64, 4, 3, dtype=dtype)
    x[17, 0] = torch.tensor([2.0, -3.0, 1.0], dtype=dtype)
    return x


def heavy_tailed(dtype: torch.dtype) -> Tensor:
    x = drawn(64, 4, 3, dtype=dtype)
    return x * drawn(64, 1, 1, dtype=dtype, seed=9).mul(2).exp()


def first(count: int) -> Callable[[torch.dtype], Tensor]:
    return lambda dtype: drawn(count, 4, 3, dtype=dtype)


def scripted(dtype: torch.dtype) -> Probe:
    model = built(VectorNeurons, dtype=dtype)
    x = drawn(64, 4, 3, dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(model, x)
    return Probe(traced, x, "o3", "4x1o", "3x1o")


def axis_of(dtype: torch.dtype) -> Probe:
    """(B, 3, N), N = 5."""
    x = drawn(64, 3, 5, dtype=dtype)
    return Probe(lambda p: p - p.mean(-1, keepdim=True), x, "e3", Typed("p", axis=1), Typed("1o", axis=1))


def wrong_axis(dtype: torch.dtype) -> Probe:
    """(B, 3, 3) with the coordinates along the middle axis, said to be the last."""
    x = drawn(64, 3, 3, dtype=dtype)
    return Probe(lambda p: p * p.square().sum(1, keepdim=True), x, "so3", Typed("1o", axis=-1), Typed("1o", axis=-1))


def half_wrong_axis(dtype: torch.dtype) -> Probe:
    """The output alone is read along the wrong axis."""
    x = drawn(64, 3, 3, dtype=dtype)
    return Probe(lambda p: p * p.square().sum(1, keepdim=True), x, "so3", Typed("1o", axis=1), Typed("1o", axis=-1))


CASES: tuple[Case, ...] = (
    # message passing on positions
    Case("egnn", messages(), EQUIVARIANT),
    Case("egnn: a gate sees the x axis", messages("gate"), NOT, "an axis of the laboratory", "layers.1.gate"),
    Case("egnn: a clamp by component", messages("limit"), NOT, "component by component", "layers.1.update"),
    Case("egnn: a constant in the last layer", messages("bias", 2), NOT, "a constant", "layers.2.update"),
    Case("egnn: a read-out of absolute positions", messages("origin"), NOT, "absolute positions"),
    # vector neurons
    Case("vector neurons", neurons(), EQUIVARIANT),
    Case("vector neurons with norm gates", neurons(gate="norm"), EQUIVARIANT),
    Case("vector neurons: relu", neurons("relu"), NOT, "component by component", "planted"),
    Case("vector neurons: layer norm by component", neurons("norm"), NOT, "component by component", "planted"),
    Case("vector neurons: cross products under o3", neurons("cross"), NOT, "parity", "planted"),
    Case("vector neurons: cross products under so3", neurons("cross", group="so3"), EQUIVARIANT),
    Case("vector neurons: pseudovectors declared as vectors", neurons("only cross"), NOT, "a wrong rep"),
    Case("vector neurons: a bias in the middle", neurons("bias", 0.5), NOT, None, "mix2"),
    Case("vector neurons: a bias at the end", neurons("last bias", 0.5), NOT, "a constant", "mix3"),
    Case("vector neurons: a bias of 1e-4", neurons("last bias", 1e-4), APPROXIMATE, "a constant", "mix3"),
    Case("vector neurons: z is scaled", neurons("tilt", 0.2), NOT, "an axis of the laboratory", None),
    Case("vector neurons: z is scaled by 1e-5", neurons("tilt", 1e-5), APPROXIMATE, "an axis of the laboratory"),
    Case(
        "identity plus a small broken step",
        fn(lambda v: v + 1e-9 * torch.relu(odd.swirl(v))),
        BROKEN,
        "hidden by the identity",
    ),
    # degree 2 and Cartesian tensors
    Case("harmonics of degree 2", spherical(), EQUIVARIANT),
    Case("harmonics of degree 2: one component scaled", spherical(0.2), NOT, "an axis of the laboratory"),
    Case("harmonics of degree 2: declared odd", spherical(rep="2o"), NOT, "a wrong rep"),
    Case("harmonics of degree 2: in e3nn's basis", e3nn_ordered, NOT, "a wrong rep"),
    Case("stress", cloud(lambda dtype: built(Stress, dtype=dtype), "1o*1o"), EQUIVARIANT),
    Case("stress: one entry scaled", cloud(lambda dtype: built(Stress, 0.1, dtype=dtype), "1o*1o"), NOT),
    # frames
    Case("pointnet in principal axes", cloud(lambda dtype: built(Framed, dtype=dtype), "2x0e", n=12), EQUIVARIANT),
    Case(
        "pointnet in principal axes: signs by an axis",
        cloud(lambda dtype: built(Framed, "first", dtype=dtype), "2x0e", n=12),
        NOT,
        "an axis of the laboratory",
        "axes",
    ),
    Case("pointnet on coordinates", cloud(lambda dtype: built(PointNet, dtype=dtype), "0e"), NOT, None, "points.1"),
    # attention
    Case("transformer on points", transformer(), EQUIVARIANT),
    Case("transformer on points: places in the list", transformer(order=0.5), NOT, "the order of items", "second"),
    Case("transformer on points: places, but under e3", transformer("e3", order=0.5), EQUIVARIANT),
    Case("transformer on points: layer norm", transformer(norm=True), NOT, "component by component", "norm"),
    # interatomic potentials
    Case("energy and forces", potential(), EQUIVARIANT),
    Case("energy and forces: a cut-off that jumps", potential(hard=True), EQUIVARIANT),
    Case("a large energy beside clamped forces", potential(offset=-2e4, limit=0.05), NOT, "component by component"),
    Case("energy and forces: a field along z", potential(axis=0.2), NOT, "an axis of the laboratory"),
    Case(
        "a reflection alone, by 1e-4",
        fn(lambda v: odd.handed(v, 1e-4)),
        APPROXIMATE,
        "parity",
    ),
    Case("a translation alone, by 1e-4", cloud(lambda _: odd.drifting, "6x1o"), APPROXIMATE, "absolute positions"),
    Case("only far from the origin", fn(odd.far_only, inputs=heavy_tailed), NOT),
    Case("a scalar of one axis", fn(lambda v: odd.swirl(v).sum(1), "1o"), EQUIVARIANT),
    Case("an eigenvector whose sign is free", fn(odd.eigenvector, "1o", inputs=first(64)), NOT),
    Case("the longest vector", fn(odd.longest, "1o"), EQUIVARIANT),
    Case("the first by x", fn(odd.first_by_x, "1o"), NOT),
    Case("a median by component", fn(lambda v: v.median(1).values, "1o"), NOT, "component by component"),
    Case("a mean", fn(lambda v: v.mean(1), "1o"), EQUIVARIANT),
    Case("a mean in place of a sum, one channel of 64 silent", fn(odd.one_silent, "5x1o"), EQUIVARIANT),
    Case("a softmax over x, y and z", fn(lambda v: v.softmax(-1)), NOT, "component by component"),
    Case(
        "a sum of squares of x and y",
        fn(lambda v: v[..., :2].square().sum((1, 2))[:, None], "0e"),
        NOT,
        "an axis of the laboratory",
    ),
    # finite groups
    Case("image under quarter turns", image(False), EQUIVARIANT),
    Case("image under quarter turns: a free kernel", image(True), NOT, None, "conv2"),
    Case("set of five items", item_set(False), EQUIVARIANT),
    Case("set of five items: weighted by place", item_set(True), NOT, None, "pool"),
    Case("mirrored policy", policy(), EQUIVARIANT),
    Case("mirrored policy: a wrong sign inside", policy(True), NOT, "a wrong rep"),
    Case("mirrored policy: joints in another order", policy(declared="signed[1,2,-3]"), NOT, "a wrong rep"),
    Case("robot on a plane", actor(), EQUIVARIANT),
    Case("robot on a plane: quarter turns", actor(group="c4z"), EQUIVARIANT),
    Case("robot on a plane: a heading", actor(0.5), NOT, None, "north"),
    Case("robot on a plane: asked for all rotations", actor(group="so3"), NOT, "an axis of the laboratory"),
    # graphs and containers
    Case("graphs of many sizes", graph_list(), EQUIVARIANT),
    Case("graphs of many sizes: tanh by component", graph_list(True), NOT, "component by component", "squash2"),
    Case("graph data", graph_data(), EQUIVARIANT),
    Case("graph data: tanh by component", graph_data(True), NOT, "component by component", "inner.squash2"),
    Case("one graph, its edges closed over", one_graph, EQUIVARIANT),
    Case("named tuple of energy and dipole", named_tuple, EQUIVARIANT),
    Case("numpy springs", in_numpy(0.0), EQUIVARIANT),
    Case("numpy springs: stiffer along z", in_numpy(0.1), NOT, "an axis of the laboratory"),
    Case("traced module", scripted, EQUIVARIANT),
    # reps
    Case("crystal", crystal("3x1o"), EQUIVARIANT),
    Case("crystal: the cell is not turned", crystal("same"), NOT, "an input declared the same"),
    Case("coordinates along the middle axis", axis_of, EQUIVARIANT),
    Case("both axes read wrongly", wrong_axis, NOT, None),
    Case("the output's axis read wrongly", half_wrong_axis, NOT, "a wrong axis"),
    Case("components in reverse", fn(lambda v: odd.swirl(v).flip(-1)), NOT, "a wrong rep"),
    # sizes
    Case("of size 1e-30", fn(lambda v: odd.swirl(v) * 1e-30), EQUIVARIANT),
    Case("of size 1e-30, z scaled", fn(lambda v: odd.tilted(v, 0.1) * 1e-30), NOT, "an axis of the laboratory"),
    Case("of size 1e30", fn(lambda v: odd.swirl(v) * 1e30), EQUIVARIANT),
    Case("of size 1e30, z scaled", fn(lambda v: odd.tilted(v, 0.1) * 1e30), NOT, "an axis of the laboratory"),
    Case("of no scale", fn(odd.unit), EQUIVARIANT),
    Case("inputs of all sizes", fn(odd.unit_swirl, inputs=heavy_tailed), EQUIVARIANT),
    Case("a break of 1e-6", fn(lambda v: odd.tilted(v, 1e-6)), APPROXIMATE, "an axis of the laboratory"),
    Case("a break of 3e-8", fn(lambda v: odd.tilted(v, 3e-8)), (*UP_TO_PRECISION, *APPROXIMATE)),
    Case("deep relu on invariants", vectors(lambda dtype: built(odd.DeepRelu, 4, 8, dtype=dtype), "4x1o"), EQUIVARIANT),
    Case("a small scalar beside vectors of 1e6", fn(odd.mixed_sizes, ("4x1o", "0e")), NOT),
    # data
    Case("one sample", fn(odd.swirl, inputs=first(1)), EQUIVARIANT),
    Case("one sample, z scaled", fn(lambda v: odd.tilted(v, 0.1), inputs=first(1)), NOT, "an axis of the laboratory"),
    Case("three samples", fn(odd.swirl, inputs=first(3)), EQUIVARIANT),
    Case("copies of one sample", fn(odd.swirl, inputs=copies), EQUIVARIANT),
    Case("nearly copies of one sample", fn(odd.swirl, inputs=nearly_copies), RIGHT),
    Case("nearly copies of one sample, z scaled", fn(lambda v: odd.tilted(v, 0.1), inputs=nearly_copies), NOT),
    Case(
        "copies of one cloud",
        repeated(lambda p: p - p.mean(1, keepdim=True), "6x1o"),
        EQUIVARIANT,
    ),
    Case(
        "copies of one cloud, absolute positions",
        repeated(lambda p: p, "6x1o"),
        NOT,
        "absolute positions",
    ),
    Case("copies of one sample, z scaled", fn(lambda v: odd.tilted(v, 0.1), inputs=copies), NOT),
    Case("planar data", fn(odd.swirl, inputs=planar), EQUIVARIANT),
    Case("planar data, z scaled", fn(lambda v: odd.tilted(v, 0.1), inputs=planar), NOT),
    Case("data on a line", fn(odd.swirl, inputs=on_a_line), EQUIVARIANT),
    Case("data at the origin", fn(odd.swirl, inputs=lambda dtype: torch.zeros(16, 4, 3, dtype=dtype)), VACUOUS),
    Case("clouds with padding", with_padding, EQUIVARIANT),
    Case("one of 3000 places", places, NOT),
    Case("centred points at 1e3", cloud_at(1e3), RIGHT),
    Case("centred points at 1e6", cloud_at(1e6), RIGHT),
    Case("one cloud far away", cloud_at(1e4, 1), RIGHT),
    Case(
        "an expanded batch",
        fn(odd.swirl, inputs=lambda dtype: drawn(1, 4, 3, dtype=dtype).expand(4, 4, 3)),
        EQUIVARIANT,
    ),
    Case("an input that is zero", beside_zeros(lambda a, b: odd.swirl(a) + b), EQUIVARIANT),
    Case(
        "broken in an input that is zero",
        beside_zeros(lambda a, b: odd.swirl(a) + b.abs()),
        NOT,
    ),
    Case("inputs of two scales", two_scales, EQUIVARIANT),
    Case("a number for an energy", in_pieces(odd.total, "0e"), EQUIVARIANT),
    Case("data with zero vectors", fn(odd.swirl, inputs=with_zeros), EQUIVARIANT),
    Case("triple product declared a scalar", fn(odd.triple, "0e"), NOT, "a wrong rep"),
    Case("triple product", fn(odd.triple, "0o"), EQUIVARIANT),
    Case("one sample of many does something", fn(odd.one_of_many, inputs=with_one_long), EQUIVARIANT),
    Case(
        "one sample of many does something, z scaled",
        fn(lambda v: odd.one_of_many(v, 0.2), inputs=with_one_long),
        NOT,
    ),
    Case("large components are clipped", fn(lambda v: odd.clipped_far(v, 2.7)), BROKEN, "a branch"),
    # shapes of functions
    Case("a spike", fn(odd.spiky), EQUIVARIANT),
    Case("a jump of an invariant", fn(odd.shell), EQUIVARIANT),
    Case(
        "whole numbers",
        cloud(lambda _: odd.neighbours, "6x0e"),
        EQUIVARIANT,
    ),
    Case("a fast wave", fn(lambda v: odd.hashed(v, 1e4)), EQUIVARIANT),
    Case("a hash", fn(lambda v: odd.hashed(v, 1e8)), UP_TO_PRECISION),
    Case("a cap on neighbours in the order of x", cloud(lambda _: odd.sorted_edges, "12x1o", n=12), BROKEN),
    Case("identity", fn(lambda v: v), EQUIVARIANT),
    Case("the argument itself and more", fn(lambda v: (v, odd.swirl(v)), ("4x1o", "4x1o")), EQUIVARIANT),
    Case(
        "a lift along the axis",
        fn(odd.lift, "4x1o", "so2z"),
        EQUIVARIANT,
    ),
    Case("a lift along the axis, all rotations", fn(odd.lift, "4x1o", "so3"), NOT, "an axis of the laboratory"),
    Case("a cut-off at the spacing of a lattice", lattice, BROKEN, "a branch"),
    Case("frequency two in the plane", in_plane(0.0), EQUIVARIANT),
    Case("frequency two in the plane, bent", in_plane(0.1), NOT),
    Case("under inference mode", fn(odd.inferred), EQUIVARIANT),
    Case("identity plus 1e-6", fn(lambda v: v + 1e-6 * odd.swirl(v)), RIGHT),
    Case("identity plus 1e-12", fn(lambda v: v + 1e-12 * odd.swirl(v)), RIGHT),
    Case("an outlier hides broken samples", fn(odd.small_ones_broken, inputs=with_outlier), NOT),
    Case(
        "no rep turns",
        fn(lambda v: v.square(), "12x0e", "so3", "12x0e", numbers),
        VACUOUS,
    ),
    # precision
    Case(
        "rounded to tenths by component",
        fn(lambda v: odd.quantised(v, 0.1)),
        NOT,
    ),
    Case("rounded to 1e-3 by component", fn(lambda v: odd.quantised(v, 1e-3)), (*UP_TO_PRECISION, *NOT)),
    Case("an energy of 1e8", fn(lambda v: odd.swirl(v).square().sum((1, 2))[:, None] - 1e8, "0e"), RIGHT),
    Case("of size 1e-42", fn(lambda v: odd.swirl(v) * 1e-20 * 1e-22), RIGHT),
    Case("of size 1e-50", fn(lambda v: odd.swirl(v) * 1e-30 * 1e-20), RIGHT),
    Case("a constant of the first call", vectors(lambda dtype: odd.Cached().to(dtype), "4x1o"), RIGHT),
    Case("float32 inside", fn(odd.reduced), UP_TO_PRECISION, "computes in less inside"),
    Case("bfloat16 inside", fn(odd.bfloat), UP_TO_PRECISION, "computes in less inside"),
    Case("float32 alone", lambda dtype: in_float32(0.0), EQUIVARIANT),
    Case("float32 alone, z scaled by 2e-4", lambda dtype: in_float32(2e-4), APPROXIMATE, "an axis of the laboratory"),
    Case(
        "float32 inside, z scaled by 2e-5",
        fn(lambda v: odd.tilted(v.float(), 2e-5).to(v.dtype)),
        APPROXIMATE,
        "an axis of the laboratory",
    ),
    Case(
        "bfloat16 inside, z scaled",
        fn(lambda v: odd.tilted(v.bfloat16(), 0.1).to(v.dtype)),
        NOT,
        "an axis of the laboratory",
    ),
    Case(
        "a wave of 1e-3 by component",
        fn(lambda v: odd.swirl(v) + 1e-3 * torch.sin(1e3 * v)),
        APPROXIMATE,
        "component by component",
    ),
    Case(
        "a very fast wave of 1e-3 by component",
        fn(lambda v: odd.swirl(v) + 1e-3 * torch.sin(1e7 * v)),
        (*UP_TO_PRECISION, *NOT),
    ),
    Case("distances by products", far(0.0, odd.by_products), EQUIVARIANT),
    Case("distances by products, far away", far(1e3, odd.by_products), RIGHT),
    # nothing to judge
    Case("nothing", fn(torch.zeros_like), VACUOUS),
    Case("a constant scalar", fn(lambda v: torch.full((len(v), 1), 3.0, dtype=v.dtype), "0e"), VACUOUS),
    Case("a constant vector", fn(lambda v: torch.ones_like(v)), BROKEN, "a constant"),
    Case("forces that are not filled", fn(odd.half_filled, ("4x1o", "4x1o")), VACUOUS),
    # state and chance
    Case("noise of torch", fn(odd.torch_noise), NOT_DETERMINISTIC),
    Case("noise of numpy", fn(odd.numpy_noise), NOT_DETERMINISTIC),
    Case("noise of python", fn(odd.python_noise), NOT_DETERMINISTIC),
    Case("counts its calls outside", fn(odd.counted), STATE),
    Case("every other call is another", vectors(lambda _: odd.alternating(2), "4x1o"), STATE),
    Case("every seventh call is another", vectors(lambda _: odd.alternating(7), "4x1o"), STATE),
    Case(
        "keeps its last input",
        vectors(lambda _: odd.Stale(), "4x1o"),
        STATE,
    ),
    Case("counts its calls in a buffer", vectors(lambda dtype: odd.Counting().to(dtype), "4x1o"), ("mutating",)),
    Case("dropout in train mode", vectors(lambda _: odd.Dropped().train(), "4x1o"), NOT_DETERMINISTIC),
    Case(
        "batch norm in train mode",
        vectors(lambda dtype: built(odd.BatchNormed, 4, dtype=dtype).train(), "4x1o"),
        ("batch-dependent",),
    ),
    Case(
        "batch norm on one vector a row, in train mode",
        single_normed(True),
        ("batch-dependent",),
    ),
    Case("batch norm on one vector a row", single_normed(False), EQUIVARIANT),
    Case("batch norm", vectors(lambda dtype: built(odd.BatchNormed, 4, dtype=dtype), "4x1o"), EQUIVARIANT),
    Case("changes its argument", fn(odd.in_place), EQUIVARIANT),
)
