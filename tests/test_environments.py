"""`check-world gym:...` beyond MuJoCo: gym-pusht's own environment, and any that offers set_state and get_state."""

from __future__ import annotations

import json
import sys

import gymnasium
import numpy as np
import pytest

from equiwm.cli.main import run
from equiwm.errors import GroupError
from equiwm.evidence.world.check import check_world
from equiwm.evidence.world.environments import environment_probe
from equiwm.worlds.pusht.physics import ANGLE, BLOCK

PUSHT = "gym_pusht/PushT-v0"
MODULE = '''
import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Spring(gym.Env):
    """A point on a spring in the plane; what the settings say is planted."""

    observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float64)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float64)

    def __init__(self, drift=0.0, unseeded=False, rounded=False, noisy=False, short=False, blows=False):
        self.drift, self.unseeded, self.rounded, self.noisy = drift, unseeded, rounded, noisy
        self.short, self.blows = short, blows
        self.x = np.zeros(4)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        rng = np.random.default_rng() if self.unseeded else self.np_random
        self.x = rng.normal(size=4)
        return self.x.copy(), {}

    def set_state(self, state):
        self.x = np.round(state, 1) if self.rounded else np.array(state)

    def get_state(self):
        return self.x[:3].copy() if self.short and abs(self.x[0]) > 0.5 else self.x.copy()

    def _get_obs(self):
        return self.x.copy()

    def step(self, action):
        p, v = self.x[:2], self.x[2:]
        v = 0.98 * v + 0.1 * (np.asarray(action) - p) + np.array([self.drift, 0.0])
        v = v + (np.random.normal(size=2) if self.noisy else 0.0)
        v = np.full(2, np.nan) if self.blows else v
        self.x = np.concatenate([p + 0.1 * v, v])
        return self.x.copy(), -float(p @ p), False, False, {}


class Pixels(gym.Env):
    observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float64)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros((8, 8, 3), np.uint8), {}

    def step(self, action):
        return np.zeros((8, 8, 3), np.uint8), 0.0, False, False, {}


class Choosing(Spring):
    action_space = spaces.Discrete(2)


class Accessible(Spring):
    def state_access(self):
        import torch
        from equiwm.symmetry.reps import Rep
        from equiwm.worlds.world import StateAccess

        def turn(text):
            rep = Rep.parse(text, 2)
            return lambda x, g: rep.transform(torch.from_numpy(x), g).numpy()

        return StateAccess(
            place=self.set_state,
            state=self.get_state,
            act=lambda action: self.step(action)[1:3],
            turn=turn("2x1o"),
            turn_action=turn("1o"),
            starts=lambda n, seed: np.random.default_rng(seed).normal(size=(n, 4)),
            plans=lambda n, horizon, seed: np.random.default_rng(seed).normal(size=(n, horizon, 2)),
            channels={"place": (0, 1), "speed": (2, 3)},
            observe=self._get_obs,
            dimension=2,
        )


class Wrong(Spring):
    def state_access(self):
        return 3


class LegacyPushT:
    """gym-pusht, placed by its own reset: it moves what it sets."""

    def __init__(self):
        import gym_pusht
        self.env = gym.make("gym_pusht/PushT-v0").unwrapped

    def set_state(self, state):
        self.env.reset(options={"reset_to_state": state})

    def get_state(self):
        return np.array([*self.env.agent.position, *self.env.block.position, self.env.block.angle])

    def step(self, action):
        return self.env.step(action)


def legacy():
    import equiwm
    starts = np.array([[100.0, 120.0, 250.0, 260.0, 0.7], [300.0, 200.0, 260.0, 250.0, -2.0]])
    return equiwm.WorldProbe(
        LegacyPushT(), starts, ([100, 100], [400, 400]), "c2", lambda s, g: s, lambda a, g: a, name="legacy PushT"
    )


gym.register("own/Spring-v0", "own:Spring")
gym.register("own/Windy-v0", "own:Spring", kwargs={"drift": 0.05})
for name in ("unseeded", "rounded", "noisy", "short", "blows"):
    gym.register(f"own/{name.title()}-v0", "own:Spring", kwargs={name: True})
gym.register("own/Accessible-v0", "own:Accessible")
gym.register("own/Wrong-v0", "own:Wrong")
gym.register("own/Pixels-v0", "own:Pixels")
gym.register("own/Choosing-v0", "own:Choosing")
'''
REPS = ["--reps", "state=2x1o", "--reps", "action=1o"]


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(MODULE)
    (tmp_path / "failing.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    before = dict(gymnasium.registry)
    for name in ("own", "failing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    sys.modules.pop("own", None)
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


def test_an_environment_that_can_be_set_is_checked_by_reps(own, capsys):
    assert run(["check-world", "gym:own/Spring-v0", "--group", "so2", *REPS, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["reward"]["verdict"], found["observation"]["verdict"]) == ("exact",) * 3
    assert run(["check-world", "gym:own/Spring-v0", "--group", "mirror", *REPS, "--states", "4"]) == 0
    assert run(["check-world", "gym:own/Accessible-v0", "--group", "so2", "--json", "--strict"]) == 0
    assert run(["check-world", "gym:own:own/Windy-v0", "--group", "so2", *REPS, "--states", "4"]) == 1
    assert "everywhere" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gym:own/Spring-v0"], "say which symmetry"),
        (["gym:own/Spring-v0", "--group", "so2"], "give --reps state=REP and --reps action=REP"),
        (["gym:own/Spring-v0", "--group", "so2", "--reps", "state"], "expected LEAF=REP"),
        (
            ["gym:own/Spring-v0", "--group", "so2", "--reps", "state=3x1o", "--reps", "action=1o"],
            "4 numbers; expected 6",
        ),
        (["gym:own/Spring-v0", "--group", "so2", *REPS, "--set", "option.cone=elliptic"], "of a MuJoCo body"),
        (["gym:own/Unseeded-v0", "--group", "so2", *REPS], "not deterministic for a seed"),
        (["gym:own/Noisy-v0", "--group", "so2", *REPS], "not deterministic"),
        (["gym:own/Rounded-v0", "--group", "so2", *REPS], "reset moves what was set"),
        (["gym:own/Short-v0", "--group", "so2", *REPS], "get_state has"),
        (["gym:own/Blows-v0", "--group", "so2", *REPS], "NaN or infinite"),
        (["gym:own/Pixels-v0", "--group", "so2", *REPS], "shows pixels only"),
        (["gym:own/Choosing-v0", "--group", "so2", *REPS], "expected a Box"),
        (["gym:own/Sprig-v0", "--group", "so2"], "did you mean own/Spring-v0"),
        (["gym:CartPole-v1", "--group", "mirror"], "no set_state and get_state"),
        (["gym:nowhere/Thing-v0", "--group", "so2"], "no module 'nowhere'"),
        (["gym:failing/Thing-v0", "--group", "so2"], "no licence"),
        (["gym:no_such_module:Thing-v0", "--group", "so2"], "no_such_module"),
        (["vn-2d", *REPS], "--reps"),
        (["gym:own/Wrong-v0", "--group", "so2"], "expected a StateAccess"),
        (["gym:own/Accessible-v0", "--group", "so3"], "lives in d = 2"),
        (["gym:own/Accessible-v0", "--group", "so2", *REPS], "says so itself"),
    ],
)
def test_wrong_input(own, capsys, arguments, words):
    assert run(["check-world", *arguments, "--states", "4"]) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) <= 2


# gym-pusht


def test_gym_pusht_breaks_at_its_walls(capsys):
    pytest.importorskip("gym_pusht")
    found = check_world(environment_probe(PUSHT, "so2"), states=12)
    assert (found.verdict, found.reward.verdict, found.observation.verdict) == ("broken", "broken", "broken")
    assert found.region.where.startswith("in contact of the block and a wall")
    assert "four walls" in found.causes[0].text
    assert "block angle" in found.observation.note
    assert found.seconds < 10.0


def test_gym_pusht_turns_in_the_middle_and_is_placed_exactly():
    pytest.importorskip("gym_pusht")
    probe = environment_probe(PUSHT, "so2")
    states = probe.starts(24, 0)
    inside = states[probe.guard(states)]
    near = check_world(environment_probe(PUSHT, "so2"), states=12, horizons=(1,))
    assert near.verdict == "exact"
    probe.running.place(inside[0])
    assert np.abs(probe.running.state() - inside[0]).max() <= 1e-9
    seen = probe.running.observation
    assert np.allclose(seen[2:4], inside[0][BLOCK])
    assert np.isclose(seen[4], inside[0][ANGLE] % (2 * np.pi))


def test_walls_are_no_cause_where_the_group_leaves_them_as_they_stand():
    pytest.importorskip("gym_pusht")
    for group in ("mirror", "c4"):
        probe = environment_probe(PUSHT, group)
        assert probe.causes(probe.symmetry.sample(8, 0)) == []
    probe = environment_probe(PUSHT, "se2")
    assert probe.causes(probe.symmetry.sample(8, 0, sigma=1.0)) != []


def test_gym_pusht_of_another_space_or_with_what_it_does_not_take(own, capsys):
    pytest.importorskip("gym_pusht")
    with pytest.raises(GroupError, match="lives in d = 2"):
        environment_probe(PUSHT, "so3")
    for more, words in ((REPS, "says so itself"), (["--set", "option.cone=elliptic"], "of a MuJoCo body")):
        assert run(["check-world", f"gym:{PUSHT}", "--group", "so2", *more]) == 2
        assert words in capsys.readouterr().err


def test_a_reset_that_moves_what_was_set_is_refused(own, capsys):
    """gym-pusht's reset_to_state sets the position before the angle, and steps once."""
    pytest.importorskip("gym_pusht")
    assert run(["check-world", "own:legacy"]) == 2
    said = capsys.readouterr().err
    assert "the state that was set does not hold" in said
    assert "reset moves what was set" in said
    assert len(said.strip().splitlines()) <= 2
