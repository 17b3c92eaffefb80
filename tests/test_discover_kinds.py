"""`discover` on every kind of representation: horizontal parts, quaternions, sets with masks, sums and products."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import equiwm
from equiwm.config import load
from equiwm.evidence.algebra.atoms import atoms_of, held, moved_by
from equiwm.evidence.algebra.exploit import exploited
from equiwm.evidence.algebra.named_groups import named_groups
from equiwm.models.factory import build_model
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.horizontal import Horizontal
from equiwm.symmetry.orientations import left_product
from equiwm.symmetry.reps import Rep
from equiwm.worlds.factory import build_world
from equiwm.worlds.scene import Scene
from equiwm.worlds.world import Transitions

H = 0.2
SO3 = {"rotation about x", "rotation about y", "rotation about z"}
SHIFTS = {"translation along x", "translation along y"}


class Flat(Scene):
    """A world of flat states, whatever their rep: `step` is its dynamics, `start` draws a state."""

    group: Any
    state: str
    acts: str

    def __init__(self, step, start=None) -> None:
        self.observation_rep, self.action_rep = self.state, self.acts
        self._step, self._start = step, start
        super().__init__(None)
        self.name = type(self).__name__.lower()

    def start(self, rng: np.random.Generator) -> np.ndarray:
        drawn = rng.normal(size=self.observation_rep.dim) if self._start is None else self._start(rng)
        return drawn.reshape(self.observation_rep.shape)

    def action(self, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(size=self.action_shape)

    def transitions(self, n: int, *, seed: int, orientations: str = "seen", progress: Any = None) -> Transitions:
        before, actions = self.starts(n, seed), self.plans(n, 1, seed)[:, 0]
        return Transitions(before, actions, self.step(before, actions), episode=torch.arange(n))

    def step(self, observation: Tensor, action: Tensor) -> Tensor:
        flat = observation.reshape(len(observation), -1)
        return self._step(flat, action.reshape(len(action), -1)).reshape(observation.shape)


class Puck(Flat):
    group, state, acts = "se2z", "p+1o", "horizontal"


class Top(Flat):
    group, state, acts = "so3", "quat+1e", "1e"


class Flock(Flat):
    group, state, acts = "se2*s4", "perm4*(mask+p+1o)+2xperm4", "1o"


def found(world, **options):
    return equiwm.discover(world, **options)


def names(result) -> set[str]:
    return {generator.name for generator in result.generators}


# A puck that is pushed in the plane, held up by a spring


def puck(s: Tensor, a: Tensor, *, wind: float = 0.0, uneven: float = 0.0, twist: float = 0.0) -> Tensor:
    x, v = s[:, :3], s[:, 3:]
    push = torch.cat([a * torch.tensor([1.0 + uneven, 1.0], dtype=s.dtype), torch.zeros_like(a[:, :1])], 1)
    push = push + twist * torch.stack([-a[:, 1], a[:, 0], 0 * a[:, 0]], 1)
    force = push - v * v.norm(dim=1, keepdim=True)
    force = force - torch.tensor([0.0, 0.0, 1.0], dtype=s.dtype) * (torch.sin(x[:, 2:]) + 0.3)
    force = force + wind * torch.tensor([1.0, 0.0, 0.0], dtype=s.dtype) * torch.tanh(v[:, 1:2])
    v = v + H * force
    return torch.cat([x + H * v, v], 1)


def test_the_horizontal_part_of_a_vector_turns_about_the_vertical():
    result = found(Puck(puck))
    assert (result.dimension, result.sure, result.reasons) == (3, True, [])
    assert names(result) == {"rotation about z", *SHIFTS}
    assert result.gap > 1e6
    turn = next(each for each in result.generators if each.name == "rotation about z")
    assert np.allclose(turn.matrix["action"], [[0, -1, 0], [1, 0, 0], [0, 0, 0]])
    assert "mirror x" in result.finite
    assert not any("z" in name for name in result.finite if name.startswith(("mirror", "C")))
    assert named_groups(result, PUCK, 3)[0].name == "e2z"


PUCK = {"state": Rep.parse("p+1o", 3), "action": Rep.parse("horizontal", 3), "next state": Rep.parse("p+1o", 3)}


def test_a_wind_breaks_it():
    result = found(Puck(partial(puck, wind=1e-3)))
    assert (result.dimension, result.sure) == (2, True)
    assert names(result) == SHIFTS
    assert any(near.name.startswith("rotation about z") and near.residual < 0.01 for near in result.near)
    assert named_groups(result, PUCK, 3) == []


@pytest.mark.parametrize("uneven", [1e-5, 1e-3, 0.2])
def test_a_push_that_is_stronger_along_one_axis_is_no_rotation_of_the_rep(uneven):
    """Turned by a matrix of its own, round an ellipse, the action goes with the state: that is no motion of the rep."""
    result = found(Puck(partial(puck, uneven=uneven)))
    assert (result.dimension, result.sure) == (3, True)
    assert not any(name.startswith("rotation") for name in names(result))
    assert named_groups(result, PUCK, 3) == []


def test_a_push_to_one_side_has_no_mirror():
    result = found(Puck(partial(puck, twist=0.3)))
    assert (result.dimension, result.sure) == (3, True)
    assert not any(name.startswith("mirror") for name in result.finite)


def test_what_turns_without_the_action_says_so():
    """Of a world that does not look at its action's direction, all rotations are symmetries of the state alone."""

    def free(s: Tensor, a: Tensor) -> Tensor:
        x, v = s[:, :3], s[:, 3:]
        v = v - H * v * v.norm(dim=1, keepdim=True) * (1 + a.square().sum(1, keepdim=True))
        return torch.cat([x + H * v, v], 1)

    result = found(Puck(free), finite=False)
    assert result.sure
    assert any(name.startswith("rotation about x") and "of state alone" in name for name in names(result))
    assert [group.name for group in named_groups(result, PUCK, 3)][-2:] == ["se2z", "so2z"]


# A top whose orientation is a quaternion


def top(s: Tensor, a: Tensor, *, canonical: bool = True, weight: float = 0.0, handed: float = 0.0) -> Tensor:
    q, w = s[:, :4], s[:, 4:]
    q = q / q.norm(dim=1, keepdim=True)
    axis = left_product(q) @ torch.cat([0 * q[:, :1], torch.eye(3, dtype=s.dtype)[0].expand(len(q), -1)], 1)[..., None]
    axis = (left_product(axis[..., 0]) @ (q * torch.tensor([1.0, -1, -1, -1], dtype=s.dtype))[..., None])[:, 1:, 0]
    torque = a - w * w.norm(dim=1, keepdim=True) + 0.5 * torch.linalg.cross(axis, w)
    torque = torque + weight * torch.linalg.cross(axis, torch.eye(3, dtype=s.dtype)[2].expand(len(q), -1))
    w = w + H * torque
    angle = w.norm(dim=1, keepdim=True)
    turn = torch.cat([torch.cos(H * angle / 2), torch.sin(H * angle / 2) * w / angle], 1)
    q = (left_product(turn) @ q[..., None])[..., 0] + handed * q[:, [1, 0, 2, 3]]
    if canonical:
        q = torch.where(q[:, :1] < 0, -q, q)
    return torch.cat([q / q.norm(dim=1, keepdim=True), w], 1)


def spun(rng: np.random.Generator) -> np.ndarray:
    q = rng.normal(size=4)
    return np.concatenate([q / np.linalg.norm(q), rng.normal(size=3)])


@pytest.mark.parametrize("canonical", [True, False])
def test_a_quaternion_is_known_up_to_its_sign(canonical):
    """A world that gives w >= 0 jumps where the orientation does not; and neither scales nor has a sign of its own."""
    result = found(Top(partial(top, canonical=canonical), spun))
    assert (result.dimension, result.sure, result.reasons) == (3, True, [])
    assert names(result) == SO3
    assert result.finite == []


@pytest.mark.parametrize(("broken", "left"), [({"weight": 1e-3}, {"rotation about z"}), ({"handed": 1e-3}, set())])
def test_a_quaternion_s_break_is_seen_whatever_its_sign(broken, left):
    result = found(Top(partial(top, **broken), spun), finite=False)
    assert (names(result), result.sure) == (left, True)


# A set with empty places


def flock(s: Tensor, a: Tensor, *, first: float = 0.0, wind: float = 0.0) -> Tensor:
    rows = s[:, :20].unflatten(1, (4, 5))
    mass, led = s[:, 20:24], s[:, 24:]
    there, x, v = rows[..., :1], rows[..., 1:3], rows[..., 3:]
    apart = x[:, None] - x[:, :, None]
    pull = apart * torch.exp(-apart.square().sum(-1, keepdim=True)) * (there > 0.5)[:, None]
    weight = torch.tensor([1.0 + first, 1.0, 1.0, 1.0], dtype=s.dtype)
    force = (weight[:, None, None] * pull * mass[:, None, :, None]).sum(2) + led[..., None] * a[:, None]
    force = force - v * v.square().sum(-1, keepdim=True) + wind * torch.tensor([0.0, 1.0], dtype=s.dtype)
    after = torch.where(there > 0.5, v + H * force, v)
    moved = torch.where(there > 0.5, x + H * after, x)
    return torch.cat([torch.cat([there, moved, after], -1).flatten(1), mass, led], 1)


def some(rng: np.random.Generator) -> np.ndarray:
    there = np.zeros(4)
    there[rng.permutation(4)[: rng.integers(2, 5)]] = 1.0
    rows = np.concatenate([there[:, None], rng.normal(size=(4, 4)) * there[:, None]], 1)
    return np.concatenate([rows.ravel(), rng.uniform(0.5, 2.0, 4) * there, rng.uniform(0.5, 2.0, 4) * there])


def test_a_set_moves_as_a_whole_and_its_items_are_exchanged():
    """Neither a mask nor an empty place is a motion; how many there are does not matter to what is found."""
    result = found(Flock(flock, some))
    assert (result.sure, result.reasons) == (True, [])
    assert names(result) == {"rotation", *SHIFTS, "scaling (state perm4[1] 1, action -1)"}
    assert "exchange of items 0 to 3 of 4" in result.finite
    assert "mirror x" in result.finite
    assert not any("mask" in name for name in (*result.finite, *names(result)))


@pytest.mark.parametrize(
    ("broken", "dimension", "exchanged"),
    [({"first": 1e-3}, 4, "exchange of items 1 to 3 of 4"), ({"wind": 1e-3}, 3, "exchange of items 0 to 3 of 4")],
)
def test_an_item_that_is_another_is_told_from_the_rest(broken, dimension, exchanged):
    result = found(Flock(partial(flock, **broken), some))
    assert (result.dimension, result.sure) == (dimension, True)
    assert [name for name in result.finite if name.startswith("exchange of items")] == [exchanged]


def test_two_items_that_know_each_other_are_told_where_they_meet():
    """Each is like the first as long as the other is not there: exchanged two by two nothing is seen."""

    def step(s: Tensor, a: Tensor) -> Tensor:
        there = s[:, :20].unflatten(1, (4, 5))[..., 0]
        pulled = torch.zeros_like(s)
        pulled[:, 18:20] = 0.01 * (there[:, 2] * there[:, 3])[:, None]
        return flock(s, a) + pulled

    def first(rng: np.random.Generator) -> np.ndarray:
        drawn = some(rng)
        rows, rest = drawn[:20].reshape(4, 5), drawn[20:]
        rows[:, 0] = [1.0, 1.0, 0.0, 0.0]
        rows[2:], rest[[2, 3, 6, 7]] = 0.0, 0.0
        rows[:2, 1:], rest[[0, 1, 4, 5]] = rng.normal(size=(2, 4)), rng.uniform(0.5, 2.0, 4)
        return np.concatenate([rows.ravel(), rest])

    assert "exchange of items 0 to 3 of 4" in found(Flock(flock, first)).finite
    assert not any(name.startswith("exchange of items") for name in found(Flock(step, first)).finite)


# Runs


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("vn-pair", {"rotation", *SHIFTS}),
        ("vn-ring", {"rotation", *SHIFTS, "scaling (state 1, action 1, change of the state 1)"}),
        ("mlp-ring", SHIFTS),
    ],
)
def test_a_model_that_takes_the_mean_off_its_points_is_moved_with_them(preset, said):
    """What it predicts are vectors: they turn as its points do, and are not shifted."""
    config = load(preset)
    world = build_world(config.world)
    takes = world.observation_rep, world.action_rep
    model = build_model(config.model, *takes, seed=0, dtype=torch.float64, group=world.group)
    result = found(equiwm.Subject(model, world), finite=False)
    assert (names(result), result.sure) == (said, True)


# The world's own


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("vn-bodies", {"rotation", *SHIFTS, "scaling (state perm8[1] 1, action -1)"}),
        ("vn-pair", {"rotation", *SHIFTS}),
    ],
)
def test_the_sets_of_our_worlds(preset, said):
    result = found(build_world(load(preset).world))
    assert (names(result), result.sure) == (said, True)
    assert any(name.startswith("exchange of items 0") for name in result.finite)


def test_what_is_found_of_a_set_is_built_in():
    assert exploited(load("vn-pair"), 1000).group.name in ("se2*s2", "so2*s2", "o2*s2", "e2*s2")


# What a rep is made of


@pytest.mark.parametrize(
    ("text", "d", "atoms"),
    [
        ("2x0e+p", 2, {"0e[0]": [[0]], "0e[1]": [[1]], "p": [[2, 3]]}),
        ("perm2*(mask+1o)", 2, {"perm2*mask": [[0], [3]], "perm2*1o": [[1, 2], [4, 5]]}),
        (
            "2xperm2+perm2*2e",
            3,
            {"perm2[0]": [[0], [1]], "perm2[1]": [[2], [3]], "perm2*2e": [[4, 5, 6, 7, 8], [9, 10, 11, 12, 13]]},
        ),
        ("1o*perm2", 2, {"perm2*1o": [[0, 2], [1, 3]]}),
        ("1o*(2x0e+1o)", 2, {"1o[0]": [[0, 3 + 1]], "1o[1]": [[1, 5]], "1o*1o": [[2, 3, 6, 7]]}),
        ("perm2*(2x0e)", 2, {"perm2*0e[0]": [[0], [2]], "perm2*0e[1]": [[1], [3]]}),
    ],
)
def test_atoms(text, d, atoms):
    found = {atom.name: atom.entries.tolist() for atom in atoms_of(Rep.parse(text, d))}
    assert {name.removeprefix("0e*"): entries for name, entries in found.items()} == atoms


def test_atoms_move_as_the_rep_does():
    """The motion of a rep is that of its atoms, at their entries: against the matrix of a small rotation."""
    for text in ("perm3*(mask+p+2x0e+1o*1o)+quat+horizontal+2e+same4+signed[2,1]", "2x(p+1e)+perm2*horizontal"):
        rep, unit, step = Rep.parse(text, 3), torch.zeros(3, 3, dtype=torch.float64), 1e-5
        unit[0, 1], unit[1, 0] = -1.0, 1.0
        made = torch.zeros(rep.dim, rep.dim, dtype=torch.float64)
        for atom in atoms_of(rep):
            for entries in atom.entries:
                made[entries[:, None], entries] = moved_by(atom.kind, unit)
        zero = torch.zeros(3, dtype=torch.float64)
        ahead, back = (rep.matrix(Elements(torch.linalg.matrix_exp(t * unit), zero)) for t in (step, -step))
        assert torch.allclose(made, (ahead - back) / (2 * step), atol=1e-8)


def test_what_a_kind_cannot_be_moved_by():
    out = torch.zeros(3, 3, dtype=torch.float64)
    out[0, 2], out[2, 0] = -1.0, 1.0
    assert moved_by(Horizontal(), out) is None
    assert moved_by(Rep.parse("horizontal*1o", 3).terms[0][1], out) is None
    assert held(Rep.parse("0e+perm2*(mask+1o)", 2), 7).tolist() == [False, True, False, False, True, False, False]
