"""`check_world`: verdicts on worlds whose symmetry is known, chaos that is no break, breaks that are no rounding."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import equiwm
from equiwm.cli.main import run
from equiwm.errors import ConfigError, DataError, EquiwmError, GroupError
from equiwm.evidence.world.check import check_world
from equiwm.evidence.world.doctor import diagnosed
from equiwm.evidence.world.pairs import are_sides
from equiwm.evidence.world.probe import WorldProbe
from equiwm.evidence.world.signed_map import MirrorMap, read_map
from equiwm.evidence.world.words import tables, text
from equiwm.evidence.world.worlds import preset_probe

RNG = np.random.default_rng(0)
STARTS = RNG.normal(size=(24, 4))
DRIFTS = [1e-10, 1e-8, 1e-6, 1e-4, 1e-2]


def spring(state, action, drift=0.0, wall=np.inf):
    """A point on a soft spring in the plane: SO(2) about the origin, but for a drift along x and a wall at x = wall."""
    x, v = state[:2], state[2:]
    v = 0.98 * v + 0.1 * (action - x * (1 + 0.2 * x @ x)) + np.array([drift, 0.0])
    x = x + 0.1 * v
    if x[0] > wall:
        x, v = np.array([wall, x[1]]), np.array([-v[0], v[1]])
    return np.concatenate([x, v])


def whirl(state, action, drift=0.0):
    """Chaos that commutes with rotations: r' = 3.9 r (1 - r), and a turn that depends on r."""
    r = float(np.hypot(*state))
    turn, grow = 7.0 * r + 0.1 * float(action @ action), 3.9 * (1 - r)
    c, s = np.cos(turn), np.sin(turn)
    return grow * np.array([c * state[0] - s * state[1] + drift, s * state[0] + c * state[1]])


def planar(step, **more):
    """A probe of a world of two vectors, or one."""
    return WorldProbe(step, STARTS, ([-1.0, -1.0], [1.0, 1.0]), "so2", "2x1o", "1o", **more)


def whirling(step):
    angles = RNG.uniform(0, 2 * np.pi, 24)
    starts = RNG.uniform(0.2, 0.8, 24)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    return WorldProbe(step, starts, ([-1.0, -1.0], [1.0, 1.0]), "so2", "1o", "1o")


# Verdicts


def test_a_symmetric_world_is_exact():
    result = equiwm.check_world(planar(spring, name="spring"))
    assert result.verdict == "exact"
    assert max(result.worst) < 1e-10
    assert result.says_until == 60
    assert result.sentence.startswith("spring is symmetric under so2")
    assert [each.verdict for each in (result.reward, result.terminated, result.observation)] == ["none"] * 3
    assert result.region.where == ""


def test_verdicts_are_those_of_the_audit_and_words_in_json():
    """One `Verdict` for networks, runs and worlds: it compares, ranks and is expected alike; JSON has the words."""
    good = check_world(planar(spring), states=4, horizons=(1, 5))
    bad = check_world(planar(lambda s, a: (spring(s, a, 0.1), s[0])), states=4, horizons=(1, 5))
    assert (good.verdict, bad.verdict) == (equiwm.Verdict.EXACT, equiwm.Verdict.BROKEN)
    assert all(isinstance(each, equiwm.Verdict) for each in (good.verdict, bad.verdict, bad.reward.verdict))
    assert (good.verdict.holds, good.verdict.breaks) == (True, False)
    assert (bad.verdict.holds, bad.verdict.breaks) == (False, True)
    assert equiwm.Verdict.worst([good.verdict, bad.verdict]) is equiwm.Verdict.BROKEN
    words = json.loads(json.dumps(bad.as_dict(), default=float))
    assert (words["verdict"], words["terminated"]["verdict"]) == ("broken", "none")


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drift_of_any_size_is_never_exact(drift):
    result = check_world(planar(lambda s, a: spring(s, a, drift)), states=12)
    assert result.verdict in ("approximate", "broken")
    assert result.region.where == "everywhere"


def test_a_drift_is_broken_or_approximate_by_its_size():
    assert check_world(planar(lambda s, a: spring(s, a, 1e-4)), states=8).verdict == "approximate"
    assert check_world(planar(lambda s, a: spring(s, a, 0.1)), states=8).verdict == "broken"


def test_chaos_is_no_break_and_says_from_when_nothing_is_known():
    result = check_world(whirling(whirl))
    assert result.verdict == "precision-limited"
    assert 20 < result.says_until < 60
    assert result.rounding_growth[-1] > 0.01
    assert result.residual[-1] > 0.1, "the copies are far apart, and that is no break"
    assert "nothing can be said beyond step" in result.sentence


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_break_inside_chaos_is_found(drift):
    assert check_world(whirling(lambda s, a: whirl(s, a, drift))).verdict in ("approximate", "broken")


@pytest.mark.parametrize("seed", range(5, 10))
def test_chaos_is_no_break_whatever_the_seed(seed):
    assert check_world(whirling(whirl), states=8, seed=seed).verdict == "precision-limited"


def few_whirl(state, action, drift=0.0):
    """A vector and two scalars, kind and clock: kind 1 whirls; the others turn slowly, and drift after 40 steps."""
    after = whirl(state[:2], 0 * action) if state[2] > 0.5 else np.array([[0.8, -0.6], [0.6, 0.8]]) @ state[:2]
    late = state[3] > 40.5 and state[2] < 0.5
    return np.concatenate([after + np.array([drift * late, 0.0]), [state[2], state[3] + 1.0]])


def few_whirling(step, kinds):
    angles = np.linspace(0.1, 6.0, len(kinds))
    states = np.stack([0.3 * np.cos(angles), 0.3 * np.sin(angles), kinds, np.zeros(len(kinds))], 1)
    return WorldProbe(step, states, ([-1.0, -1.0], [1.0, 1.0]), "so2", "1o+2x0e", "1o")


@pytest.mark.parametrize("drift", [1e-6, 1e-3, 0.3])
def test_chaos_in_one_rollout_does_not_explain_a_break_in_the_others(drift):
    kinds = [0.0] * 22 + [1.0] * 2
    symmetric = check_world(few_whirling(few_whirl, kinds))
    assert symmetric.verdict == "precision-limited"
    assert symmetric.rounding_worst[-1] > 0.01 > 1e-9 > symmetric.rounding_growth[-1]
    broken = check_world(few_whirling(lambda s, a: few_whirl(s, a, drift), kinds))
    assert broken.verdict in ("approximate", "broken")
    assert broken.region.share == [0.0, 0.0, 0.0, pytest.approx(22 / 24)]


def test_float32_inside_is_no_break():
    def single(state, action):
        return spring(state.astype(np.float32), action.astype(np.float32)).astype(np.float32).astype(np.float64)

    starts = STARTS.astype(np.float32).astype(np.float64)
    result = check_world(replace(planar(single), states=starts), states=12)
    assert result.verdict in ("exact", "precision-limited")
    broken = replace(planar(lambda s, a: single(s, a) + 1e-3 * np.eye(4)[0]), states=starts)
    assert check_world(broken, states=12).verdict in ("approximate", "broken")


def test_a_break_in_a_region_says_where():
    def windy_outside(state, action):
        after = spring(state, action)
        return after + 0.05 * np.eye(4)[2] * (state[:2] @ state[:2] > 1.0)

    probe = planar(windy_outside, channels={"place": [0, 1], "speed": [2, 3]})
    starts = np.random.default_rng(5).normal(size=(48, 4)) * 0.7
    result = check_world(replace(probe, states=starts), states=48, horizons=(1, 5, 10))
    assert result.verdict == "broken"
    said = result.region.where
    assert said.startswith("where |place| (from the centre) > ")
    assert float(said.rpartition(" ")[2]) == pytest.approx(1.0, abs=0.05)
    assert 0.0 < result.region.share[0] < 0.9


def test_motions_apart():
    """Rotations hold, translations do not."""
    probe = replace(planar(spring), group="se2", state="p+1o", sigma=1.0)
    result = check_world(probe, states=12)
    assert result.verdict == "broken"
    assert result.cosets["rotation"][1] < 1e-9 < 0.1 < result.cosets["translation"][1]


# Reward, termination, observation


def test_a_reward_along_the_labs_x_is_found():
    def step(state, action):
        after = spring(state, action)
        return after, after[0], bool(after[0] > 1.0)

    result = check_world(planar(step), states=12)
    assert (result.verdict, result.reward.verdict, result.terminated.verdict) == ("exact", "broken", "broken")
    fair = check_world(planar(lambda s, a: (spring(s, a), float(s[:2] @ s[:2]), bool(s[:2] @ s[:2] > 1))), states=12)
    assert (fair.reward.verdict, fair.terminated.verdict) == ("exact", "exact")


@pytest.mark.parametrize(
    ("observe", "observation", "verdict"),
    [
        (lambda s: s, "2x1o", "exact"),
        (lambda s: s, None, "exact"),
        (lambda s: np.array([s[:2] @ s[:2], s[2] * s[1]]), None, "broken"),
        (lambda s: np.array([np.arctan2(s[1], s[0])]), None, "broken"),
        (lambda s: np.array([s @ s, np.cos(np.arctan2(s[1], s[0])), np.sin(np.arctan2(s[1], s[0]))]), None, "exact"),
        (lambda s: np.concatenate([s[:2] * [1.0, 1.01], s[2:]]), "2x1o", "approximate"),
    ],
)
def test_an_observation_that_leaks_the_labs_frame(observe, observation, verdict):
    result = check_world(planar(spring, observe=observe, observation=observation), states=12)
    assert (result.verdict, result.observation.verdict) == ("exact", verdict)


# What nothing can be said of


class Remembers:
    """A simulator with a state that setting does not clear."""

    def __init__(self, decay):
        self.kept, self.decay, self.now = 0.0, decay, np.zeros(4)

    def set_state(self, state):
        self.now = state

    def get_state(self):
        return self.now

    def step(self, action):
        self.kept = self.decay * self.kept + action[0]
        self.now = spring(self.now, action + self.kept)


class Moves(Remembers):
    """A simulator that moves what is set: it steps once."""

    def set_state(self, state):
        self.now = spring(state, np.zeros(2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"simulator": Moves(0.0)}, "reset moves what was set"),
        ({"simulator": Remembers(0.9)}, "not deterministic|hides something"),
        ({"simulator": lambda s, a: spring(s, a) + RNG.normal()}, "not deterministic"),
        ({"simulator": lambda s, a: s}, "never moves"),
        ({"simulator": lambda s, a: spring(s, a) * np.nan}, "NaN"),
        ({"simulator": lambda s, a: spring(s, a)[:3]}, "has 3 numbers; expected 4"),
        ({"simulator": lambda s, a: 1 / 0}, "ZeroDivisionError"),
        ({"simulator": "nothing"}, "has no set_state"),
        ({"state": "4x0e", "action": "2x0e"}, "changes a state or an action"),
        ({"state": lambda s, g: s + 1.0}, "under the identity"),
        ({"state": lambda s, g: s * (1 + 1e-3 * float(g.linear[0, 1]))}, "is no action of"),
        ({"state": lambda s: -s}, "takes a state alone"),
        ({"state": 3}, "expected a rep"),
        ({"states": STARTS[:1]}, "at least 2 states"),
        ({"states": STARTS[0]}, "shape"),
        ({"states": np.where(STARTS > 2, np.nan, STARTS)}, "NaN"),
        ({"actions": (1.0, -1.0)}, "low < high"),
        ({"actions": np.zeros((2, 5, 2))}, "2 plans"),
        ({"channels": {"x": 0}}, "each of 0 to 3 once"),
        ({"angles": ("phi",)}, "no channel 'phi'"),
    ],
)
def test_worlds_that_cannot_be_judged_are_refused_with_the_reason(change, words):
    probe = replace(planar(spring), **change)
    with pytest.raises(EquiwmError, match=words):
        check_world(probe, states=6)


def test_unknown_groups_and_sizes():
    with pytest.raises(GroupError, match="unknown group"):
        replace(planar(spring), group="so7")
    with pytest.raises(DataError, match="positive length"):
        replace(planar(spring), sigma=0.0)
    with pytest.raises(DataError, match="horizons"):
        check_world(replace(planar(spring), actions=np.zeros((24, 5, 2)) + 0.1), horizons=(10,))


# Our own worlds


def test_pusht_breaks_at_its_walls_and_says_why():
    result = check_world(preset_probe("vn-2d"), states=48, horizons=(1, 5, 20, 30))
    assert result.verdict == "broken"
    assert 0.0 < result.region.share[-1] < 0.9
    assert "walls" in result.causes[0].text
    assert result.region.where.startswith("in contact of the block and a wall")


def test_what_no_state_has_reached_is_said():
    """Eight states and five steps: no block touches a wall, and the walls are named all the same."""
    result = check_world(preset_probe("vn-2d"), states=8, horizons=(1, 5))
    assert result.verdict == "exact"
    assert "Only where states that were tried reach: the four walls" in result.sentence


def test_a_map_that_finds_a_bound_breaks_the_verdict():
    from equiwm.evidence.world.break_map import break_map, with_map

    probe = planar(lambda s, a: spring(s, a, wall=9.0), channels={"place": [0, 1], "speed": [2, 3]})
    result = check_world(probe, states=6, horizons=(1, 5))
    assert result.verdict == "exact"
    assert with_map(result, break_map(probe, "place", knots=3)).verdict == "broken"


def test_the_bodys_cones():
    pytest.importorskip("mujoco")
    assert check_world(preset_probe("vn-body"), states=6, horizons=(1, 5)).verdict == "exact"
    result = check_world(preset_probe("vn-body", None, ["world.cone=pyramidal"]), states=12, horizons=(1, 5, 20))
    assert result.verdict == "broken"
    assert "pyramidal" in result.causes[0].text


@pytest.mark.parametrize("preset", ["vn-field-2d", "vn-field-3d", "vn-3d"])
def test_worlds_by_their_observations(preset):
    assert check_world(preset_probe(preset), states=4, horizons=(1, 5)).verdict == "exact"
    with pytest.raises(GroupError, match="d = "):
        preset_probe(preset, "so3" if preset.endswith("2d") else "so2")


@pytest.mark.slow
def test_the_map_of_pushts_walls_is_within_5_px_of_the_guard():
    from equiwm.evidence.world.break_map import break_map

    found = break_map(preset_probe("vn-2d"), "block")
    assert found.off_guard < 5.0
    states = preset_probe("vn-2d").starts(200, 3)
    guard = preset_probe("vn-2d").guard
    at_rest = states.copy()
    at_rest[:, :2] = 256.0
    assert np.mean(found.holds(states) == guard(at_rest)) > 0.95


def test_a_map_of_a_wall_by_direction(tmp_path):
    from equiwm.evidence.world.break_map import break_map

    probe = planar(lambda s, a: spring(s, a, wall=2.5), channels={"place": [0, 1], "speed": [2, 3]})
    found = break_map(probe, "place", knots=4)
    assert np.all((found.radius > 1.5) & (found.radius < 2.9)), "the wall is 2.5 off, and two steps reach 0.4"
    assert bool(found.holds(np.array([0.5, 0, 0, 0])))
    assert not bool(found.holds(np.array([4.0, 0, 0, 0])))
    assert found.draw(tmp_path, "wall").is_file()
    assert (tmp_path / "wall.csv").is_file()
    assert "within" in found.text()
    with pytest.raises(DataError, match="--where"):
        break_map(probe, "nothing")


# The mirror doctor


def legs(state, action):
    """Two legs that see each other: exchanging them is a symmetry. (left, right, their speeds, sway, its speed)."""
    q, v = state[[0, 1, 4]], state[[2, 3, 5]]
    force = np.array([2 * action[0], 2 * action[1], action[0] - action[1]])
    pull = np.array([np.sin(q[0] + q[2]), np.sin(q[1] - q[2]), 0.3 * (q[0] - q[1]) + q[2]])
    v = v + 0.05 * (force - pull - 0.1 * v)
    q = q + 0.05 * v
    return np.array([q[0], q[1], v[0], v[1], q[2], v[2]])


NAMES = ["left", "right", "left speed", "right speed", "sway", "sway speed"]
RIGHT = MirrorMap(
    np.eye(6)[[1, 0, 3, 2, 4, 5]] * np.array([1, 1, 1, 1, -1, -1])[:, None], np.eye(2)[[1, 0]], np.zeros(6), np.zeros(2)
)


def legged():
    return WorldProbe(
        legs,
        np.random.default_rng(1).normal(size=(24, 6)),
        ([-1.0, -1.0], [1.0, 1.0]),
        "mirror",
        RIGHT.on_state,
        RIGHT.on_action,
        channels=NAMES,
        action_channels=["left motor", "right motor"],
    )


def test_functions_of_a_state_alone_are_a_mirror():
    assert check_world(legged(), states=8).verdict == "exact"


def test_a_right_map_is_let_go():
    found = diagnosed(legged(), RIGHT)
    assert (found.involution, found.signed_permutation, found.agrees, found.disagree) == (True, True, True, [])


@pytest.mark.parametrize(
    ("state", "action", "wrong"),
    [
        ([1, 0, 3, 2, 4, -5], [1, 0], ["sway"]),
        ([1, 0, 2, 3, -4, -5], [1, 0], ["left speed", "right speed"]),
        ([1, 0, 3, 2, -4, -5], [0, 1], ["action left motor", "action right motor"]),
        ([1, 0, 3, 2, -4, -5], [-1, 0], ["action left motor"]),
        ([3, 0, 1, 2, -4, -5], [1, 0], ["left", "left speed"]),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_faults_are_found_named_and_repaired(tmp_path, state, action, wrong, own):
    path = tmp_path / "mirror.yaml"
    path.write_text(f"state: {state}\naction: {action}\n".replace("-0", '"-0"'))
    probe = legged()
    if not own:  # solved from rollouts alone: the probe's own action is the wrong one
        probe = replace(probe, state=lambda s: s, action=lambda a: a)
    bad = read_map(str(path), NAMES, ["left motor", "right motor"])
    found = diagnosed(probe, bad)
    assert not found.agrees
    assert found.disagree == wrong
    assert found.verdict == "exact"
    again = tmp_path / "again.yaml"
    again.write_text(found.repaired)
    mended = read_map(str(again), NAMES, ["left motor", "right motor"])
    assert np.array_equal(mended.state, RIGHT.state)
    assert np.array_equal(mended.action, RIGHT.action)


def test_maps_by_name_and_by_function(tmp_path):
    by_name = tmp_path / "names.yaml"
    by_name.write_text(
        "state: {left: right, right: left, left speed: right speed, right speed: left speed, sway: -sway,\n"
        "  sway speed: -sway speed}\naction: {left motor: right motor, right motor: left motor}\n"
    )
    found = read_map(str(by_name), NAMES, ["left motor", "right motor"])
    assert np.array_equal(found.state, RIGHT.state)
    assert found.is_involution
    assert found.is_signed_permutation
    code = tmp_path / "mirrors_of_mine.py"
    code.write_text(
        "def mirror(s, a):\n    return s[[1, 0, 3, 2, 4, 5]] * [1, 1, 1, 1, -1, -1], a[[1, 0]]\n"
        "def bent(s, a):\n    return s ** 2, a\n"
        "def shifted(s, a):\n    return s + 1.0, a\n"
    )
    same = read_map(f"{code}:mirror", NAMES, ["left motor", "right motor"])
    assert np.array_equal(same.state, RIGHT.state)
    assert np.array_equal(same.action, RIGHT.action)
    with pytest.raises(ConfigError, match="not affine"):
        read_map(f"{code}:bent", NAMES, ["left motor", "right motor"])
    assert not read_map(f"{code}:shifted", NAMES, ["left motor", "right motor"]).is_signed_permutation


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("state: [1, 0, 2]\n", "has 3 entries; expected 6"),
        ("state: {lefty: right}\n", "no entry 'lefty'; did you mean left"),
        ("states: [1]\n", "expected the keys state, action and observation"),
        ("state: 3\n", "expected a list of signed entries"),
    ],
)
def test_maps_that_cannot_be_read(tmp_path, written, words):
    path = tmp_path / "mirror.yaml"
    path.write_text(written)
    with pytest.raises(ConfigError, match=words):
        read_map(str(path), NAMES, ["a", "b"])


def test_a_map_of_observations(tmp_path):
    from equiwm.evidence.world.doctor import examine

    shown = ["sway", "left + sway", "left", "right", "height"]
    probe = replace(
        legged(),
        observe=lambda s: np.array([s[4], s[0] + s[4], s[0], s[1], np.cos(s[4])]),
        observation_channels=shown,
    )
    path = tmp_path / "mirror.yaml"
    path.write_text("action: [1, 0]\nobservation: {sway: -sway, left: right, right: -left, height: height}\n")
    found = examine(probe, str(path))
    assert (found.agrees, found.involution) == (False, False)
    assert found.disagree == ["observation left + sway", "observation right"], "of the first no signs make a map"
    assert found.repaired == ""
    probe = replace(probe, observe=lambda s: np.array([s[4], s[4] ** 3, s[0], s[1], np.cos(s[4])]))
    found = examine(probe, str(path))
    assert found.disagree == ["observation left + sway", "observation right"]
    assert '"right": "left"' in found.repaired
    path.write_text("action: [1, 0]\n" + found.repaired)
    assert examine(probe, str(path)).agrees


def test_sides_by_name():
    assert are_sides("left_knee", "right_knee")
    assert are_sides("foot", "foot_left")
    assert are_sides("l_hip", "r_hip")
    assert are_sides("FL_thigh".replace("FL", "left"), "right_thigh")
    assert not are_sides("leg", "lag")
    assert not are_sides("foot", "foot")


# The command

PROBE = """
import numpy as np
import equiwm

def step(state, action):
    v = 0.98 * state[2:] + 0.1 * (action - state[:2])
    return np.concatenate([state[:2] + 0.1 * v, v])

def wind(state, action):
    return step(state, action) + [0.0, 0.0, 0.05, 0.0]

def paid(state, action):
    after = step(state, action)
    return after, after[0]

STARTS = np.random.default_rng(0).normal(size=(16, 4))

def made(simulator):
    return equiwm.WorldProbe(simulator, STARTS, ([-1.0, -1.0], [1.0, 1.0]), "so2", "2x1o", "1o", name="mine")

probe, windy, reward = made(step), made(wind), made(paid)
def later():
    return made(step)
number = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "my_sim.py").write_text(PROBE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command(mine, capsys):
    assert run(["check-world", "my_sim.py:probe", "--states", "8"]) == 0
    assert capsys.readouterr().out.startswith("EXACT: mine is symmetric under so2")
    assert run(["check-world", "my_sim.py:later", "--states", "8"]) == 0
    capsys.readouterr()
    assert run(["check-world", "my_sim.py:windy", "--states", "8", "--json", "--out", "found"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["horizons"], said["region"]["where"]) == ("broken", [1, 5, 20, 60], "everywhere")
    assert json.loads((mine / "found" / "check-world-mine-so2.json").read_text()) == said
    assert run(["check-world", "my_sim.py:reward", "--states", "8"]) == 0
    assert run(["check-world", "my_sim.py:reward", "--states", "8", "--strict"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["my_sim.py:nothing"], "has no 'nothing'"),
        (["my_sim.py:number"], "expected a WorldProbe"),
        (["no_file.py:probe"], "there is no file"),
        (["vn-2dd"], "did you mean vn-2d"),
        (["vn-2d", "--group", "so3"], "d = 3"),
        (["vn-2d", "--group", "so9"], "unknown group"),
        (["gym:Walker2d-v5"], "say which symmetry"),
        (["gym:Wolker2d-v5", "--group", "mirror"], "did you mean Walker2d"),
        (["gym:CartPole-v1", "--group", "mirror"], "no MuJoCo body whose state can be set"),
        (["my_sim.py:probe", "--set", "option.cone=elliptic"], "this is a probe"),
        (["my_sim.py:probe", "--horizons", "1,x"], "expected steps"),
        (["my_sim.py:probe", "--map", "mirror"], "expected a YAML file"),
        (["my_sim.py:probe", "--map", "none.yaml"], "none.yaml"),
        (["my_sim.py:probe", "--map", "short.yaml"], "has 3 entries; expected 4"),
        (["my_sim.py:probe", "--where", "state 0"], "--where"),
        ([], "takes a WORLD"),
        (["my_sim.py:probe", "--survey", "x.md"], "takes a WORLD"),
        (["--survey", "x.txt"], "ends in .md"),
        (["--survey", "none/x.md"], "there is no folder"),
    ],
)
def test_wrong_input(mine, capsys, arguments, words):
    (mine / "short.yaml").write_text("state: [1, 0, 2]\naction: [1, 0]\n")
    assert run(["check-world", *arguments]) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) <= 2


def test_a_terminal_of_80_columns():
    result = check_world(planar(lambda s, a: spring(s, a, 0.1), name="spring"), states=6)
    assert all(len(line) <= 80 for line in text(result, 80).splitlines())
    assert {table.title.partition(":")[0] for table in tables(result)} == {"spring"}


# The document


def test_a_survey_is_resumed_and_refuses_what_is_not_its_own(tmp_path, monkeypatch, capsys):
    from equiwm.evidence.world import survey

    monkeypatch.setattr(survey, "STATES_OF_OTHERS", 3)
    every = [survey.Row("vn-field-2d", None), ("gym:Gone-v4", "it cannot be made"), survey.Row("vn-field-3d", "so3")]
    monkeypatch.setattr(survey, "rows", lambda: iter(every[:1]))
    document = tmp_path / "worlds.md"
    command = ["check-world", "--survey", str(document), "--seed", "7"]
    assert run(command) == 0
    first = json.loads((tmp_path / "worlds.json").read_text())
    monkeypatch.setattr(survey, "rows", lambda: iter(every))
    capsys.readouterr()
    assert run([*command, "--resume"]) == 0
    shown = capsys.readouterr()
    assert shown.err.strip() == "equiwm check-world vn-field-3d --group so3"
    again = json.loads((tmp_path / "worlds.json").read_text())
    assert again["rows"]["vn-field-2d own"] == first["rows"]["vn-field-2d own"]
    assert len(again["rows"]) == 2
    assert "it cannot be made" in document.read_text()
    kept = document.read_bytes()
    assert run(["check-world", "--survey", str(document), "--seed", "8", "--resume"]) == 2
    (tmp_path / "worlds.json").write_text('{"seed": 7')
    assert run([*command, "--resume"]) == 2
    assert "cannot be resumed" in capsys.readouterr().err
    assert document.read_bytes() == kept


def test_translations_by_name():
    def still(state, action):  # nothing depends on where it is
        return np.concatenate([state[:3] + 0.1 * state[3:], 0.9 * state[3:] + 0.1 * action])

    starts = np.random.default_rng(0).normal(size=(8, 6))
    probe = WorldProbe(still, starts, (-np.ones(3), np.ones(3)), "shiftxy", "p+1o", "1o")
    assert check_world(probe, states=8).verdict == "exact"
    falling = replace(probe, simulator=lambda s, a: still(s, a) - 0.01 * s[2] * np.eye(6)[5])
    assert check_world(falling, states=8).verdict == "exact", "gravity that depends on the height"
    assert check_world(replace(falling, group="shiftz"), states=8).verdict == "broken"
    with pytest.raises(GroupError, match="axes such as"):
        replace(probe, group="shift")


def test_the_document_is_that_of_its_results():
    from equiwm.evidence.world.survey import text_of

    folder = Path(__file__).resolve().parents[1] / "docs"
    stored = json.loads((folder / "worlds.json").read_text(encoding="utf-8"))
    assert (folder / "worlds.md").read_text(encoding="utf-8") == text_of(stored)
