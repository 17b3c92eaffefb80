"""`discover`: the algebra of worlds, models and data whose symmetries are known, and "unsure" where nobody can tell."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from constructed import CASES, JUMPS, Case, central, linear
from torch import nn
from typer.testing import CliRunner

import equiwm
from equiwm.cli.app import app
from equiwm.config import load
from equiwm.errors import DataError, RepError
from equiwm.evidence.algebra.steps import Steps, read_npz
from equiwm.worlds.factory import build_world

BY_NAME = {case.name: case for case in (*CASES, *JUMPS)}
GAP = 1e6
SO3 = {"rotation about x", "rotation about y", "rotation about z"}


def found(target, **options):
    """What `discover` says, without the search for finite symmetries."""
    return equiwm.discover(target, finite=False, **options)


def names(result) -> set[str]:
    return {generator.name for generator in result.generators}


def world_of(preset: str, *settings: str):
    return build_world(load(preset, None, settings).world)


# Worlds


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_constructed_worlds(case: Case):
    result = equiwm.discover(case.world)
    assert (result.dimension, result.sure, result.reasons) == (case.dimension, True, [])
    for name in case.names:
        assert any(found.startswith(name) for found in names(result)), (name, names(result))
    assert result.gap >= GAP
    assert all(generator.residual < 1e-9 for generator in result.generators)


@pytest.mark.parametrize(
    ("preset", "dimension", "said"),
    [
        ("vn-field-2d", 2, {"rotation", "scaling (state 1, action 1)"}),
        ("vn-field-3d", 4, {*SO3, "scaling (state 1, action 1)"}),
        ("vn-3d", 6, {*SO3, *(f"translation along {axis}" for axis in "xyz")}),
        ("vn-3d-goal", 6, {*SO3, *(f"translation along {axis}" for axis in "xyz")}),
        ("vn-2d", 1, {"rotation"}),
    ],
)
def test_own_worlds(preset, dimension, said):
    result = found(world_of(preset))
    assert (result.dimension, result.sure, names(result)) == (dimension, True, said)
    assert result.gap >= GAP


def test_a_body_in_contact_and_its_pyramidal_cone():
    """Contacts bend more than most: the step of differences has to be small. The cone keeps half turns alone."""
    pytest.importorskip("mujoco")
    elliptic = found(world_of("vn-body"))
    assert (elliptic.dimension, elliptic.sure) == (6, True)
    assert elliptic.gap >= GAP
    pyramidal = equiwm.discover(world_of("vn-body", "world.cone=pyramidal"))
    assert (pyramidal.dimension, pyramidal.sure) == (3, True)
    assert any(near.name.startswith("rotation") for near in pyramidal.near)
    assert "C2 about z" in pyramidal.finite


@pytest.mark.parametrize(("preset", "dimension"), [("vn-field-2d", 1), ("vn-field-3d", 2), ("vn-3d", 4)])
def test_a_break_of_a_thousandth_is_one(preset, dimension):
    result = found(world_of(preset, "world.breaking=0.001"))
    assert (result.dimension, result.sure) == (dimension, True)
    assert any(near.name.startswith("rotation") and 1e-4 < near.residual < 1e-2 for near in result.near)


def test_between_rounding_and_a_break_it_is_unsure():
    result = found(world_of("vn-3d", "world.breaking=1e-7"))
    assert not result.sure
    assert "neither rounding" in result.reasons[0]


@pytest.mark.parametrize("case", JUMPS, ids=lambda case: case.name)
def test_what_derivatives_do_not_see_is_not_counted(case):
    """Between walls, and between the jumps of stairs, every motion holds to first order."""
    result = equiwm.discover(case.world)
    assert result.dimension == 0
    if case.name == "stairs":
        assert not result.sure
        assert {near.name for near in result.near} == {"translation along x", "translation along y"}
    else:
        assert "C4" in result.finite


def test_finite_symmetries():
    assert equiwm.discover(world_of("vn-2d")).finite == ["mirror x"]  # observed by the stem
    assert equiwm.discover(world_of("vn-2d", "world.direction=body_x")).finite == []
    cloud = equiwm.discover(world_of("vn-3d")).finite
    assert cloud == ["exchange of state channels 0 to 23"]  # its torque is given as a vector: no mirror
    assert "mirror x" in equiwm.discover(world_of("vn-field-3d")).finite
    assert equiwm.discover(BY_NAME["two axes"].world).finite[:3] == ["C2", "mirror x", "mirror y"]


def reversible(s, a):
    """One leap-frog step of a central force, which runs back."""
    x, v = s
    x = x + 0.1 * v
    v = v - 0.2 * x * torch.exp(-x.square().sum(-1, keepdim=True))
    return [x + 0.1 * v, v]


def test_reversal_of_time():
    case = replace(BY_NAME["central"], state="p+1o", step=reversible)
    assert any(name.startswith("reversal of time") for name in equiwm.discover(case.world).finite)
    damped = replace(case, step=lambda s, a: [*reversible(s, a)[:1], 0.9 * reversible(s, a)[1]])
    assert not any(name.startswith("reversal of time") for name in equiwm.discover(damped.world).finite)


def test_other_reps_find_other_motions():
    """A world of vectors about an origin has no translations; the same one of points has."""
    vectors = replace(BY_NAME["falling"], state="2x1o").world
    assert found(vectors).dimension == 0
    assert names(found(vectors, reps={"state": "p+1o"})) == {"translation along x", "translation along y"}
    with pytest.raises(RepError):
        found(vectors, reps={"state": "nothing"})
    with pytest.raises(DataError, match="state has 4 entries"):
        found(vectors, reps={"state": "1o"})


def test_free_matrices_against_the_commutant():
    """Of a linear map s' = M s + N a they are those with A M = M A, A N = N A', and shifts with M b + N b' = b."""
    result = found(BY_NAME["linear"].world, reps="none")
    unit, h = np.eye(2), 0.2
    v = np.hstack([-h * unit, (1 - 0.3 * h) * unit])
    m, n = np.vstack([np.hstack([unit, 0 * unit]) + h * v, v]), np.vstack([h * h * unit, h * unit])
    i4 = np.eye(4)
    linear_part = np.vstack(
        [
            np.hstack([np.kron(m.T, i4) - np.kron(i4, m), np.zeros((16, 4))]),
            np.hstack([np.kron(n.T, i4), -np.kron(np.eye(2), n)]),
        ]
    )
    shifts = np.hstack([m - i4, n])
    expected = sum(part.shape[1] - np.linalg.matrix_rank(part) for part in (linear_part, shifts))
    assert (result.dimension, result.sure) == (expected, True)


class Chance(type(BY_NAME["central"].world)):
    """A world that rolls dice."""

    def step(self, observation, action):
        return super().step(observation, action) + 1e-3 * torch.randn_like(observation)


def test_a_world_that_is_no_function_is_refused():
    with pytest.raises(DataError):
        found(Chance(BY_NAME["central"]))


# Models


def probe(model, inputs=None, takes="4x1o", gives="1o", group="so3"):
    inputs = (
        torch.randn(40, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        if inputs is None
        else inputs
    )
    return equiwm.Probe(model, inputs=inputs, group=group, takes=takes, gives=gives)


def invariant_sum(x):
    """A vector of degree 3: rotations, and a scaling of 1 against 3."""
    return (x * x.square().sum((-1, -2), keepdim=True)).sum(-2)


def test_a_model_of_torch_and_one_of_numpy():
    for model in (
        invariant_sum,
        lambda x: torch.from_numpy(invariant_sum(torch.from_numpy(x.detach().numpy())).numpy()),
    ):
        result = found(probe(model))
        assert (result.dimension, result.sure) == (4, True)
        assert names(result) == {*SO3, "scaling (input 1, output 3)"}


def test_a_derivative_that_is_cut_off_is_not_believed():
    """The gradient of half of it is lost in numpy: taken as it stands, the algebra would be another's."""

    def cut(x):
        lab = torch.tensor([0.0, 0.0, 1.0], dtype=x.dtype)
        return invariant_sum(x) + (x[..., :1, 2] ** 2).detach() * lab

    result = found(probe(cut))
    assert (result.dimension, result.sure) == (1, True)
    assert names(result) == {"rotation about z"}


def test_a_break_of_a_thousandth_in_one_channel_of_many():
    def model(x):
        broken = x + 0
        broken[..., 3, :] = x[..., 3, :] + 1e-3 * x[..., 3, 2:] ** 2
        return broken

    result = found(probe(model, gives="4x1o"))
    assert result.sure
    assert not any(name.startswith("rotation about x") for name in names(result))


def test_float32_inside_is_not_read_as_a_break():
    weight = torch.tensor([0.3, -0.7, 0.2, 0.9])

    def single(x):
        x = x.float()
        mixed = torch.einsum("c,...cd->...d", weight, x)
        return mixed * mixed.square().sum(-1, keepdim=True)

    result = found(probe(single))
    assert result.dimension == 4 or not result.sure
    broken = found(probe(lambda x: single(x) + 0.05 * x[..., 0, 2:].float() ** 2))
    assert broken.dimension == 0 or not broken.sure


def test_a_constant_says_nothing():
    result = found(probe(lambda x: torch.ones(*x.shape[:-2], 3, dtype=x.dtype)))
    assert (result.dimension, result.sure) == (None, False)
    assert "do not vary" in result.reasons[0]


def test_an_input_that_is_not_looked_at_moves_nothing():
    """Any motion of it leaves the output as it is: that is no symmetry of the map."""
    inputs = (torch.randn(40, 2, 3, dtype=torch.float64), torch.randn(40, 1, 3, dtype=torch.float64))
    model = equiwm.Probe(
        lambda x, y: invariant_sum(x), inputs=inputs, group="so3", takes=("2x1o", "1o"), gives="1o", call="*"
    )
    assert found(model).dimension == 4


def test_motions_along_what_is_ignored_are_told_apart():
    """sin(x - 2 y) looks at one direction: any linear field along the other leaves it as it is."""
    x = torch.randn(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    result = found(probe(lambda x: torch.sin(x[:, :1] - 2 * x[:, 1:]), x, "2x0e", "0e", "so2"), reps="none")
    assert (result.dimension, result.sure) == (3, True)
    assert result.notes[0].startswith("2 of them move only along directions that it ignores")


def test_redundant_channels():
    """The second channel is a copy of the first in every sample; off them the map is asked too."""
    one = torch.randn(40, 1, 3, dtype=torch.float64)
    result = found(probe(lambda x: x[..., 0, :] * x[..., 1, 2:], inputs=torch.cat([one, one], 1), takes="2x1o"))
    assert result.sure
    assert "rotation about z" in names(result)
    assert not {"rotation about x", "rotation about y"} & names(result)


def test_samples_on_a_sphere_do_not_make_a_scaling():
    """At |x| = 1 alone every radial function looks homogeneous."""
    x = torch.randn(40, 1, 3, dtype=torch.float64)
    result = found(
        probe(
            lambda x: (x * torch.sin(x.norm(dim=-1, keepdim=True)))[..., 0, :], x / x.norm(dim=-1, keepdim=True), "1o"
        )
    )
    assert names(result) == SO3
    assert result.sure


def test_one_sample_is_moved_to_have_enough():
    result = found(probe(invariant_sum, inputs=torch.randn(1, 4, 3, dtype=torch.float64)))
    assert (result.dimension, result.sure) == (4, True)


def test_a_trained_run_names_rotations_and_the_scaling():
    run = Path(equiwm.__file__).parent.parent / "runs" / "reference" / "runs" / "vn-field-3d"
    result = found(equiwm.load_run(run, torch.float64))
    assert (result.dimension, result.sure) == (4, True)
    assert names(result) == {*SO3, "scaling (state 1, action 1)"}


def test_far_from_the_origin():
    """A rotation about the origin is there all but a translation: motions are taken about the samples' mean."""

    class Far(type(BY_NAME["central"].world)):
        def start(self, rng):
            start = super().start(rng)
            start[0] += (1000.0, 2000.0)
            return start

    centre = partial(central, centre=(1000.0, 2000.0))
    result = found(Far(replace(BY_NAME["central"], state="p+1o", step=centre)))
    assert (result.dimension, result.sure) == (1, True)


def test_a_small_step_hides_no_break():
    """With dt = 1e-6 the state hardly changes; the increment does, and a break of it is one."""

    def slow(s, a, pull):
        x, v = s
        force = -2 * x * torch.exp(-x.square().sum(-1, keepdim=True) / 2) + a[0]
        force = force + pull * torch.tensor([0.0, 1.0], dtype=x.dtype) * torch.tanh(x[:, 1:])
        return [x + 1e-6 * v, v + 1e-6 * force]

    for pull, dimension in ((0.0, 1), (1e-3, 0)):
        result = found(replace(BY_NAME["central"], step=partial(slow, pull=pull)).world)
        assert (result.dimension, result.sure) == (dimension, True)


def test_a_network_that_must_fail():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(-2), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 3)).double()
    result = found(probe(network))
    assert (result.dimension, result.sure) == (0, True)


# Data


def steps_of(case: Case, n: int = 4096, seed: int = 0) -> Steps:
    return Steps.of_world(case.world, n, seed)


def test_data_of_a_symmetric_world_and_of_none(tmp_path):
    steps = steps_of(BY_NAME["central"])
    np.savez(tmp_path / "log.npz", state=steps.state, action=steps.action, next_state=steps.following)
    options = ("--reps", "state=2x1o", "--reps", "action=1o", "--json")
    told = json.loads(command(str(tmp_path / "log.npz"), *options).stdout)
    assert (told["dimension"], told["sure"], told["source"]) == (1, True, "data")
    assert [generator["name"] for generator in told["generators"]] == ["rotation"]
    assert told["reps"]["state"] == "2x1o"
    assert 0 < told["resolution"] < 0.1
    nothing = found(steps_of(BY_NAME["polynomial"]))
    assert (nothing.dimension, nothing.sure) == (0, True)


def test_steps_are_refused_with_a_reason(tmp_path):
    with pytest.raises(DataError, match="at least 200"):
        found(steps_of(BY_NAME["central"], 100))
    good = steps_of(BY_NAME["central"], 300)
    with pytest.raises(DataError, match="nothing moves"):
        found(replace(good, following=good.state))
    bad = good.state.clone()
    bad[7, 1] = float("nan")
    with pytest.raises(DataError, match="the first is 7"):
        replace(good, state=bad)
    np.savez(tmp_path / "half.npz", state=good.state.numpy())
    with pytest.raises(DataError, match="no 'next_state'"):
        read_npz(tmp_path / "half.npz")
    (tmp_path / "no.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="damaged or no npz archive"):
        read_npz(tmp_path / "no.npz")


def test_a_log_is_read_by_the_reps_that_lie_with_it(tmp_path):
    """Rows of episodes, a state that needs the step before, and what its columns are."""
    from equiwm.logs.episodes import load_logs
    from equiwm.logs.spec import read_spec, spec_of

    t = np.arange(40.0)
    place = np.stack([np.cos(t), np.sin(t)], 1)
    log = tmp_path / "log.npz"
    np.savez(log, place=place, push=np.ones((40, 2)), episode=np.arange(40) // 20)
    assert spec_of(log) is None
    (tmp_path / "log.reps.yaml").write_text(
        "dimension: 2\nstate:\n  place: {rep: p, unit: m}\naction:\n  push: {rep: 1o, unit: N}\n"
        "episodes: {index: episode}\nhistory: 1\n"
    )
    steps = Steps.of_logs(load_logs(log, read_spec(tmp_path / "log.reps.yaml")))
    assert len(steps) == 36, "of 20 rows 18 have one before and one after"
    assert (str(steps.state_rep), str(steps.action_rep)) == ("1xp", "2x1o")
    assert torch.equal(steps.state[0], torch.from_numpy(place[1]))
    assert torch.equal(steps.following[0], torch.from_numpy(place[2]))
    assert torch.allclose(steps.action[0], torch.tensor([*(place[1] - place[0]), 1.0, 1.0], dtype=torch.float64))
    assert steps.episode.unique().tolist() == [0, 1]


@pytest.mark.parametrize("where", ["a plane", "clouds that are never shifted"])
def test_where_there_are_no_samples_nothing_can_be_told(where, monkeypatch):
    import equiwm.evidence.algebra.ensemble as ensemble

    monkeypatch.setattr(ensemble, "_STEPS", 50)
    flat = steps_of(BY_NAME["seen in a plane"], 1000)
    result = found(flat if where == "a plane" else Steps.of_world(world_of("vn-3d"), 1000, 0))
    assert not result.sure
    assert any("no samples" in reason for reason in result.reasons)


# The command


def command(*arguments: str):
    return CliRunner().invoke(app, ["discover", *arguments])


def test_the_command():
    shown = command("vn-field-3d")
    assert shown.exit_code == 0
    for name in (*SO3, "scaling (state 1, action 1)", "mirror x"):
        assert name in shown.stdout
    told = json.loads(command("field", "--json", "--no-finite").stdout)
    assert told["dimension"] == 2
    assert told["sure"] is True
    assert {"generators", "finite", "singular_values", "gap"} <= set(told)
    assert told["generators"][0]["matrix"]["state"][0] == pytest.approx([0.0, -1.0, 0.0])


def test_the_command_takes_a_run_which_is_no_log():
    """Its history is a CSV, and episodes of logs are as well."""
    run = Path(equiwm.__file__).parent.parent / "runs" / "reference" / "runs" / "vn-field-3d"
    told = json.loads(command(str(run), "--json", "--no-finite").stdout)
    assert (told["source"], told["dimension"], told["sure"]) == ("model", 4, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "no world, preset, run or file"),
        (("field", "--reps", "state"), "expected LEAF=REP"),
        (("field", "--reps", "nothing=1o"), "there is no 'nothing'"),
        (("missing.npz",), "missing.npz"),
        (("missing.parquet",), "no reps.yaml says what its columns are"),
        (("math:pi",), "expected a world, a Probe"),
        (("field", "--set", "world.breaking=1"), "give a preset"),
        (("field", "--space", "3"), "asked of data alone"),
    ],
)
def test_wrong_input_is_one_line(arguments, said):
    from equiwm.errors import EquiwmError

    done = command(*arguments)
    assert isinstance(done.exception, EquiwmError)
    assert said in str(done.exception)
    assert len(str(done.exception).splitlines()) <= 2


def test_a_world_that_cannot_tell_says_so():
    shown = command(f"{Path(__file__).parent / 'constructed_stairs.py'}:stairs")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("UNSURE")


# Forty sets


def sets():
    """World, truth without boosts, and seed: deterministic and noisy, symmetric and broken."""
    chosen = ("central", "two axes", "pair", "homogeneous", "polynomial", "sheared", "magnet", "falling")
    for name in chosen:
        case = BY_NAME[name]
        truth = case.dimension - sum(each.startswith("boost") for each in case.names)
        for seed in range(4):
            yield name, case, truth, seed, 0.02 if seed == 3 else 0.0
    for seed in range(4):
        yield "pulled", replace(BY_NAME["central"], step=partial(central, pull=0.3)), 0, seed, 0.0
        yield "linear", replace(BY_NAME["linear"], step=linear), 4, seed, 0.0


@pytest.mark.slow
def test_forty_sets_of_4096_transitions():
    """Right or unsure in at least 36, right and sure in most, confidently wrong in none (2% of 40 is less than one)."""
    right, unsure, wrong = [], [], []
    for name, case, truth, seed, noise in sets():
        steps = steps_of(case, seed=seed)
        draw = torch.Generator().manual_seed(seed)
        spread = (steps.following - steps.state).std()
        shaken = steps.following + noise * spread * torch.randn(
            steps.following.shape, generator=draw, dtype=torch.float64
        )
        result = found(replace(steps, following=shaken), seed=seed)
        (unsure if not result.sure else right if result.dimension == truth else wrong).append((name, seed))
        print(name, seed, "truth", truth, "got", result.dimension, "sure", result.sure, result.reasons[:1], flush=True)
    print(f"right {len(right)}, unsure {len(unsure)}, wrong {wrong}")
    assert len(right) + len(unsure) + len(wrong) == 40
    assert wrong == []
    assert len(right) >= 20


def test_no_memory_is_no_answer(monkeypatch):
    """That the machine refused is not that a map has no derivative, nor that its rows depend on each other."""
    from equiwm.evidence.algebra import derivative, maps

    class Refusing:
        points = ((torch.zeros(4, 2),),)

        def __call__(self, *_: object) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        maps._independent(Refusing())  # type: ignore[arg-type]

    def refused(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(derivative.torch.autograd, "grad", refused)
    with pytest.raises(MemoryError):
        found(BY_NAME["central"].world)


# Finite symmetries of data


@pytest.mark.parametrize(
    ("drift", "said"), [(0.0, "They do not refute C2, C3, C4."), (0.03, "They refute C2, C3, C4.")]
)
def test_data_prove_no_finite_symmetry_and_refute_some(drift, said):
    """A field in the plane, and the same with a wind; handedness was seen on one side alone, so mirrors stay open."""
    from equiwm.evidence.algebra.finite_data import finite_of_data

    steps = Steps.of_world(world_of("vn-field-2d", "world.coverage=360"), 1000, 1)
    wind = torch.tensor([drift, 0.0] * (steps.state.shape[1] // 2), dtype=torch.float64)
    notes = finite_of_data(replace(steps, following=steps.following + wind), turning=False, seed=1)
    assert notes[0].startswith("Data prove no finite symmetry")
    assert notes[1:] == [said, "They cannot tell mirror x, mirror y."]
    assert not any("C2" in note for note in finite_of_data(steps, turning=True, seed=1))
    assert "reps" in finite_of_data(replace(steps, state_rep=None), turning=False, seed=1)[0]


@pytest.mark.parametrize(
    ("what", "left"), [("rotation", "translation"), ("scaling", "translation"), ("boost", "drift")]
)
def test_what_a_coarse_tolerance_leaves_of_a_motion_has_a_name(what, left):
    """Data have a tolerance at which a rotation about a far centre is a translation, with nothing that turns."""
    from equiwm.evidence.algebra.family import family_of
    from equiwm.evidence.algebra.maps import of_world
    from equiwm.evidence.algebra.recognise import _named, _Subspace

    world = world_of("vn-3d")
    family = family_of(of_world(world, 0), free=False)
    columns = [column.what for column in family.columns]
    theta = torch.zeros(len(columns), dtype=torch.float64)
    theta[columns.index(left) if left in columns else columns.index("linear")] = 1.0
    named = _named(family, _Subspace(what, torch.eye(len(columns), dtype=torch.float64)), theta)
    assert named.name.startswith("translation along x" if left == "translation" else "motion without a name")
    assert not named.compact
