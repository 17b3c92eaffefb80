"""What lives outside the package works as what lives inside: files of `tests/outside`, through the command line.

Each part stands alone: the world; then, one by one, whatever else can be brought from outside.
"""

from __future__ import annotations

import ast
import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from equiwm.audit.residual import check_equivariance
from equiwm.claims.closed_loop.orbit import parse_orbit
from equiwm.cli.main import run
from equiwm.config import load
from equiwm.errors import DataError
from equiwm.loading import load_run
from equiwm.symmetry.coverage import Arc
from equiwm.symmetry.reps import Rep
from equiwm.training.run import prepare_run
from equiwm.worlds.factory import build_world
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.field.world import Field
from equiwm.worlds.scenes import Scenes
from equiwm.worlds.world import ControlWorld, SequenceWorld

OUTSIDE = Path(__file__).parent / "outside"


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank ones, comments or docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            text = node.body[0]
            texts |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    lines = path.read_text(encoding="utf-8").splitlines()
    code = [line for number, line in enumerate(lines, 1) if number not in texts]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in code)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's folder with the files of `tests/outside`; what is imported from it is forgotten after the test."""
    for path in OUTSIDE.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def equiwm(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])


# --- a world


def test_a_world_and_its_control_are_short():
    assert code_lines(OUTSIDE / "spring.py") <= 50
    assert code_lines(OUTSIDE / "spring_control.py") <= 40


def test_every_command_takes_a_world_from_outside(home, capsys):
    assert equiwm("train", "--preset", "spring.yaml", "--quiet") == 0
    path = home / "runs" / "spring"
    assert equiwm("verify-equivariance", path, "--quiet") == 0
    assert equiwm("sweep-group", path, "--bins", 4, "--transitions", 40, "--quiet") == 0
    assert equiwm("rollout", path, "--horizons", "1,4", "--sequences", 8, "--quiet") == 0
    loop = ("--tasks", 2, "--orbit", "se2:2", "--references", "--quiet", "--jobs", 1)
    assert equiwm("closed-loop", path, *loop) == 0
    assert equiwm("report", home / "runs") == 0
    metrics = json.loads((path / "metrics.json").read_text())
    assert metrics["verify_equivariance"]["verdict"] == "exact"
    assert metrics["sweep_group"]["flatness"] < 1e-4
    assert max(metrics["rollout"]["relative_residual"]) < 1e-5
    found = metrics["closed_loop"]
    assert found["paired_abs_max_deg"] < 1e-6
    assert [line["name"].split()[0] for line in found["references"]] == ["true", "replay"]
    assert found["references"][1]["fraction_closed"] == pytest.approx(1.0, abs=1e-6)  # the task's own actions
    assert "spring:Spring" in capsys.readouterr().out


def test_control_of_its_own(home):
    settings = ["world.name=spring_control:ControlledSpring", "training.epochs=2"]
    assert equiwm("train", "--preset", "spring.yaml", "--quiet", *[p for s in settings for p in ("--set", s)]) == 0
    loop = ("--tasks", 2, "--orbit", "90,37", "--quiet", "--jobs", 1)
    assert equiwm("closed-loop", home / "runs" / "spring", *loop) == 0
    found = json.loads((home / "runs" / "spring" / "metrics.json").read_text())["closed_loop"]
    assert found["paired_abs_max_deg"] < 1e-6
    assert found["moved_deg"] > 0.0


MEASURED = """
import torch
from spring import Spring
from spring_control import SpringControl


class Short(SpringControl):
    asks = {"elsewhere": "within 90 deg at any step"}
    decides = "elsewhere"
    steps = 4

    def judge(self, observation, goal):
        angle, _ = self.pose_error(observation, goal)
        return {"elsewhere": angle < 90.0}, 1.0 - angle / 180.0


class Measured(Spring):
    standard_tasks = {"short": "four steps"}

    def standard(self, name, demonstrations):
        return Short(self, self.transitions(8, seed=0).observation)
"""


def test_tasks_that_others_measure_a_world_from_outside_by_are_compared_on(home, capsys):
    (home / "measured.py").write_text(MEASURED)
    settings = ("--set", "world.name=measured:Measured", "--set", "training.epochs=1", "--quiet")
    for seed in (0, 1):
        assert equiwm("train", "--preset", "spring.yaml", "--seed", seed, *settings) == 0
    sides, options = ("runs/spring", "runs/spring-s1"), ("--episodes", 2, "--jobs", 1, "--quiet")
    capsys.readouterr()
    assert equiwm("compare", *sides, "--task", "short", *options) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "success by elsewhere, any pose" in shown
    assert "elsewhere: within 90 deg at any step." in shown
    (found,) = json.loads((home / "runs" / "spring" / "metrics.json").read_text())["compare"]["variants"].values()
    assert (found["criterion"], found["orientations"]) == ("elsewhere", "all")
    assert equiwm("compare", *sides, "--task", "shrot", *options) == 2
    assert "unknown task 'shrot': did you mean short" in " ".join(capsys.readouterr().err.split())


def test_a_run_from_somebody_else_closes_its_loop_where_its_module_is_trusted(home, monkeypatch, capsys):
    assert equiwm("train", "--preset", "spring.yaml", "--set", "training.epochs=1", "--quiet") == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "another"))
    loop = ("closed-loop", home / "runs" / "spring", "--tasks", 2, "--orbit", "90", "--quiet", "--jobs", 1)
    assert equiwm(*loop) == 2
    assert "--trust spring" in capsys.readouterr().err
    assert equiwm(*loop, "--trust", "spring") == 0


def test_what_the_base_makes_of_start_and_step(home):
    world = build_world(load("spring.yaml").world)
    assert isinstance(world, SequenceWorld)
    assert isinstance(world, ControlWorld)
    assert (str(world.group), str(world.observation_rep), world.dimension) == ("SE(2)", "5xp+5x1o", 2)
    assert world.coverage == Arc(0.0, 90.0)
    assert world.config.stiffness == 4.0  # type: ignore[attr-defined]
    data = world.transitions(10, seed=3)
    assert torch.equal(data.observation, world.transitions(14, seed=3).observation[:10])
    assert data.episode.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert torch.equal(data.next_observation, world.step(data.observation, data.action))
    assert not torch.equal(data.observation, world.transitions(10, seed=4).observation)
    seen, unseen = (world.sequences(6, 3, seed=1, orientations=kind) for kind in ("seen", "unseen"))
    assert torch.equal(seen.observations, world.sequences(9, 5, seed=1).observations[:6, :4])
    fits = [_turn(one.observations[:, 0, :5]) for one in (seen, unseen)]
    assert ((fits[0] > 0.0) & (fits[0] < 90.0)).sum() >= 5  # by a layout's own jitter an angle may lie outside
    g = world.group.rotation(fits[1] - fits[0])
    assert (world.observation_rep.transform(seen.observations, g[:, None]) - unseen.observations).abs().max() < 1e-6
    assert (world.action_rep.transform(seen.actions, g[:, None]) - unseen.actions).abs().max() < 1e-6
    residual = world.symmetry_residual(20, 10, seed=0)
    assert residual.worst["free"] < 1e-10
    with pytest.raises(DataError, match="expected at least 1"):
        world.transitions(0, seed=0)
    with pytest.raises(DataError, match="orientations"):
        world.transitions(1, seed=0, orientations="sene")  # type: ignore[arg-type]


def _turn(points: torch.Tensor) -> torch.Tensor:
    """Signed angle in degrees by which layouts (n, P, 2) are turned against the first, which is turned by itself."""
    arm = points[:, 0] - points.mean(1)
    return torch.rad2deg(torch.atan2(arm[:, 1], arm[:, 0]))


DUCK = """
import torch
from equiwm.symmetry.coverage import Arc
from equiwm.symmetry.groups import SO2
from equiwm.symmetry.reps import vectors
from equiwm.worlds.world import SymmetryResidual, Transitions

class Duck:
    name, group, equivariant, components, coverage = "duck", SO2, True, {}, Arc(0.0, 90.0)
    observation_rep, action_rep = vectors(2, 2), vectors(1, 2)
    def __init__(self, config):
        pass
    def transitions(self, n, *, seed, orientations="seen", progress=None):
        rng = torch.Generator().manual_seed(seed)
        state = torch.randn(n, 2, 2, generator=rng, dtype=torch.float64)
        action = torch.randn(n, 2, generator=rng, dtype=torch.float64)
        return Transitions(state, action, self.step(state, action), torch.arange(n))
    def step(self, observation, action):
        return 0.9 * observation + 0.1 * action[:, None]
    def readout_targets(self, observation):
        return {"state": observation}
    def symmetry_residual(self, rollouts=500, steps=30, *, seed=0):
        return SymmetryResidual("length", steps, {"free": 0.0}, {"free": rollouts})
"""


def test_a_world_without_our_base(home, capsys):
    (home / "duck.py").write_text(DUCK)
    assert equiwm("train", "--preset", "spring.yaml", "--set", "world.name=duck:Duck", "--quiet") == 0
    path = home / "runs" / "spring"
    assert equiwm("sweep-group", path, "--bins", 4, "--transitions", 40, "--quiet") == 0
    capsys.readouterr()
    assert equiwm("rollout", path, "--quiet") == 2
    assert "gives no sequences" in capsys.readouterr().err
    assert equiwm("closed-loop", path, "--quiet") == 2
    assert "has no tasks" in capsys.readouterr().err


SCENE = """
import torch
from equiwm.worlds.scene import Scene

class Broken(Scene):
    group, observation_rep, action_rep = "so2", "2x1o", "1o"
    def start(self, rng):
        return rng.normal(size=(2, 2))
    def step(self, observation, action):
        return observation + 0.1 * action[:, None]
"""
NO_GROUP = 'group, observation_rep, action_rep = "so2", ', "observation_rep, action_rep = "
LONG = (
    'class Broken(Scene):\n    group, observation_rep, action_rep = "so2"',
    """from equiwm.symmetry.groups import SO2, Elements, Group
class Long(Group):
    name, d = "long", 2
    def sample(self, n, seed, *, sigma=1.0):
        g = SO2.sample(n, seed)
        return Elements(1.1 * g.linear, g.translation)
    def contains(self, g):
        return torch.ones(g.shape, dtype=torch.bool)
class Broken(Scene):
    group, observation_rep, action_rep = Long()""",
)
STEP = "return observation + 0.1 * action[:, None]"
BEFORE_START = "    def start("


def before_start(line: str) -> str:
    return f"    {line}\n    def start("


WRONG = {
    "no step": (SCENE, "def step(", "def stepp(", "broken:Broken lacks step"),
    "an unknown group": (SCENE, '"so2"', '"so9"', "broken:Broken: unknown group 'so9'"),
    "a rep that is none": (SCENE, '"2x1o"', '"2x7q"', "broken:Broken: cannot read rep"),
    "no group": (SCENE, *NO_GROUP, "'group'"),
    "a start of another shape": (SCENE, "(2, 2)", "(3, 2)", "Broken.start has shape (2, 2); got (3, 2)"),
    "a start that is not finite": (SCENE, "rng.normal", "float('nan') * rng.normal", "Broken.start is finite numbers"),
    "a step of one channel": (
        SCENE,
        STEP,
        "return observation[:, :1]",
        "Broken.step has shape (2, 2, 2); got (2, 1",
    ),
    "a step that is not finite": (SCENE, "0.1 *", "float('inf') *", "broken:Broken.step is finite numbers"),
    "a step that is None": (SCENE, "return observation +", "observation +", "broken:Broken.step returns nothing"),
    "an error in step": (SCENE, "return observation", "return [][3]", "Broken.step raised IndexError: list index out"),
    "an exit in step": (
        SCENE,
        "return observation",
        "raise SystemExit(0)\n        return observation",
        "Broken.step raised SystemExit: 0",
    ),
    "a step in place": (SCENE, "return observation +", "observation *= 0.5; return observation +", "in place"),
    "a step that is random": (
        SCENE,
        "return observation +",
        "import torch; return torch.randn(observation.shape) + observation +",
        "apart for one state and action",
    ),
    "no steps of an episode": (SCENE, BEFORE_START, before_start("episode_steps = 0"), "Broken.episode_steps is 0"),
    "half a step of an episode": (SCENE, BEFORE_START, before_start("episode_steps = 1.5"), "episode_steps is 1.5"),
    "an error when made": (
        SCENE,
        BEFORE_START,
        before_start("def __init__(self, config): 1 / 0"),
        "broken:Broken(config) raised ZeroDivisionError",
    ),
    "a channel that is none": (
        SCENE,
        BEFORE_START,
        before_start("components = {'hand': 7}"),
        "broken:Broken.components: 'hand' is channel 7",
    ),
    "a coverage of another space": (
        SCENE,
        BEFORE_START,
        before_start("from equiwm.symmetry.coverage import Ball; coverage = Ball(90.0)"),
        "broken:Broken.coverage lives in 3D",
    ),
    "no coverage": (DUCK, ", coverage = ", ", kover = ", "broken:Duck lacks 'coverage'"),
    "no transitions": (DUCK, "def transitions(", "def transition(", "broken:Duck lacks 'transitions'"),
    "transitions that are a tuple": (
        DUCK,
        "return Transitions(",
        "return (",
        "Duck.transitions is a tuple; expected",
    ),
    "too few transitions": (DUCK, "torch.arange(n))", "torch.arange(n)).take(n - 1)", "gave 1 transitions; 2 were"),
    "actions of another shape": (
        DUCK,
        "action = torch.randn(n, 2, ",
        "action = torch.randn(n, 1, ",
        "action of broken:Duck",
    ),
    "read-outs that are no vectors": (
        DUCK,
        '{"state": observation}',
        '{"state": observation.flatten(1)}',
        "broken:Duck.readout_targets: 'state' has shape (2, 4)",
    ),
    "a group that is not orthogonal": (SCENE, *LONG, "group 'long': a sampled element is not orthogonal"),
    "a group that raises": (SCENE, LONG[0], LONG[1].replace("1.1 *", "[][1] *"), "Long.sample raised IndexError"),
    "a group of one element": (
        SCENE,
        '"so2"',
        '"c1"',
        "broken:Broken.group 'c1' changes neither observations (2x1o) nor actions (1x1o)",
    ),
    "a group that only permutes": (SCENE, '"so2"', '"s3"', "broken:Broken: group 's3' only permutes items"),
    "observations that are permuted": (
        SCENE,
        '"so2", "2x1o"',
        '"so2*s2", "perm2*1o"',
        "a result of broken:Broken.start has shape (4); got (2, 2)",
    ),
    "a group that is text": (DUCK, '"duck", SO2', '"duck", "so2"', "broken:Duck.group is 'so2'; expected a Group"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_world_that_is_none_is_refused_by_name(home, capsys, snapshot, case):
    text, old, new, words = WRONG[case]
    assert old in text
    (home / "broken.py").write_text(text.replace(old, new))
    name = "broken:Broken" if text is SCENE else "broken:Duck"
    before = {path: digest for path, digest in snapshot(home).items() if "__pycache__" not in path}
    status = equiwm("train", "--preset", "spring.yaml", "--set", f"world.name={name}", "--quiet")
    errors = capsys.readouterr().err
    assert status == 2, errors
    assert len(errors.strip().splitlines()) <= 2
    assert words in errors
    assert {path: digest for path, digest in snapshot(home).items() if "__pycache__" not in path} == before


def test_an_unknown_setting_of_its_configuration(home, capsys):
    assert equiwm("train", "--preset", "spring.yaml", "--set", "world.stifness=2") == 2
    assert "unknown key 'world.stifness': did you mean stiffness?" in capsys.readouterr().err
    assert equiwm("train", "--preset", "spring.yaml", "--set", "world.masses=2") == 2
    assert "world.masses: got 2, expected at least 3" in capsys.readouterr().err


def test_a_world_that_fails_later_is_named_and_leaves_the_run_as_it_was(home, capsys, snapshot):
    text = SCENE.replace(
        "return observation", "import os; assert 'STORM' not in os.environ, 'a storm'; return observation"
    )
    (home / "moody.py").write_text(text)
    assert equiwm("train", "--preset", "spring.yaml", "--set", "world.name=moody:Broken", "--quiet") == 0
    path = home / "runs" / "spring"
    before = snapshot(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORM", "1")
        assert equiwm("sweep-group", path, "--quiet") == 2
    errors = capsys.readouterr().err
    assert "moody:Broken.step raised AssertionError: a storm" in errors
    assert snapshot(path) == before


def test_a_control_task_that_is_none(home, capsys):
    text = SCENE + "    def control(self, observations):\n        return 3\n"
    (home / "idle.py").write_text(text)
    assert equiwm("train", "--preset", "spring.yaml", "--set", "world.name=idle:Broken", "--quiet") == 0
    capsys.readouterr()
    assert equiwm("closed-loop", home / "runs" / "spring", "--quiet") == 2
    assert "idle:Broken.control is 3; expected a ControlTask" in capsys.readouterr().err


PARTS = """
import torch
from equiwm.training.optimizers import OptimizerRule

class Encoder(torch.nn.Module):
    def __init__(self, config, observation, latent):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(latent.multiplicity, observation.multiplicity))
    def forward(self, observation):
        return (self.weight @ observation).flatten(1)

class Short(Encoder):
    def forward(self, observation):
        return super().forward(observation)[:, 1:]

class Raises(Encoder):
    def forward(self, observation):
        raise RuntimeError("lost")

class Stuck(torch.optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("stuck")

class NoZero(torch.optim.SGD):
    def zero_grad(self):
        pass

class Later(torch.optim.SGD):
    def step(self, closure=None):
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps > 1:
            raise RuntimeError("later")

NONE = OptimizerRule(lambda parameters, lr, weight_decay: [3], lr=1e-3)
"""
REFUSED_PARTS = {
    "model.encoder=parts:Short": "Short gave",
    "model.encoder=parts:Raises": "raised RuntimeError: lost",
    "model.encoder=parts:Nothing": "has no 'Nothing'",
    "training.optimizer=parts:Nothing": "has no 'Nothing'",
    "training.optimizer=no_such_parts:Sgd": "no module named 'no_such_parts'",
    "training.optimizer=parts:Encoder": "expected an OptimizerRule",
    "training.optimizer=parts:Stuck": "'parts:Stuck': step raised RuntimeError: stuck",
    "training.optimizer=parts:NoZero": "'parts:NoZero': zero_grad raised TypeError",
    "training.optimizer=parts:Later": "'parts:Later': step raised RuntimeError: later",
    "training.optimizer=parts:NONE": "builds int; expected torch optimisers",
}


@pytest.mark.parametrize("seeds", [(), ("--seeds", "0-1", "--jobs", "1")])
@pytest.mark.parametrize("assignment", REFUSED_PARTS)
def test_a_part_that_is_refused_leaves_no_run(home, capsys, assignment, seeds):
    (home / "parts.py").write_text(PARTS)
    (home / "scene.py").write_text(SCENE)
    preset = "training: {transitions: 64, batch: 32, epochs: 1, lr: 1.0e-3}\nmodel: {latent: 8, weights: real}\n"
    (home / "scene.yaml").write_text("world: {name: 'scene:Broken'}\n" + preset)
    arguments = ("train", "--preset", "scene.yaml", "--quiet", *seeds)
    assert equiwm(*arguments, "--set", assignment) == (1 if seeds and "Later" in assignment else 2)
    errors = capsys.readouterr().err
    assert REFUSED_PARTS[assignment] in errors
    assert len(errors.strip().splitlines()) <= 2
    assert list(home.glob("runs/*")) == []
    assert equiwm(*arguments) == 0  # nothing is in the way


def test_a_run_that_is_taken_up_again_stays_when_it_is_refused(home, snapshot):
    (home / "moody.py").write_text(SCENE.replace("rng.normal(size=(2, 2))", "self.draw(rng)") + SULK)
    settings = ["world.name=moody:Broken"]
    run = prepare_run(load("spring.yaml", None, settings), home / "runs", "spring", seed=0, resume=False)
    before = snapshot(run.path)
    assert equiwm("train", "--preset", "spring.yaml", "--set", *settings, "--resume", "--quiet") == 2
    after = snapshot(run.path)
    assert {name: after[name] for name in before} == before


def test_a_world_that_fails_while_data_are_collected_leaves_no_run(home, capsys):
    (home / "moody.py").write_text(SCENE.replace("rng.normal(size=(2, 2))", "self.draw(rng)") + SULK)
    assert equiwm("train", "--preset", "spring.yaml", "--set", "world.name=moody:Broken", "--quiet") == 2
    assert "moody:Broken.draw raised RuntimeError: enough" in capsys.readouterr().err
    assert list(home.glob("runs/*")) == []


SULK = """
    def draw(self, rng):
        self.drawn = getattr(self, "drawn", 0) + 1
        if self.drawn > 20:
            raise RuntimeError("enough")
        return rng.normal(size=(2, 2))
"""


def test_a_channel_that_never_moves_is_named_and_leaves_no_run(home, capsys):
    (home / "lame.py").write_text(SCENE.replace("0.1 * action", "torch.tensor([[0.1], [0.0]]) * action"))
    assert equiwm("train", "--preset", "spring.yaml", "--set", "world.name=lame:Broken", "--quiet") == 2
    assert "channels [1] never move in the training data" in capsys.readouterr().err
    assert list(home.glob("runs/*")) == []


@pytest.mark.parametrize("objective", ["forward", "jepa"])
def test_a_world_that_never_moves_is_named_and_leaves_no_run(home, capsys, objective):
    (home / "still.py").write_text(SCENE.replace(STEP, "return observation.clone()"))
    encoder = {"forward": "identity", "jepa": "mlp"}[objective]
    changes = ("world.name=still:Broken", f"training.objective={objective}", f"model.encoder={encoder}")
    settings = [part for change in changes for part in ("--set", change)]
    assert equiwm("train", "--preset", "spring.yaml", *settings, "--quiet") == 2
    assert "the world 'still:Broken' never moves: all 256 transitions" in capsys.readouterr().err
    assert list(home.glob("runs/*")) == []


def test_a_world_in_which_nothing_happens_is_measured_by_no_claim(home, capsys, snapshot):
    """It moved while the model was trained."""
    step = 'import os; return observation + (0.1 * action.mean() if "STILL" not in os.environ else 0.0)'
    text = SCENE.replace("return observation + 0.1 * action[:, None]", step).replace('"2x1o"', '"3xp"')
    (home / "still.py").write_text(text.replace("(2, 2)", "(3, 2)").replace('"so2"', '"se2"'))
    (home / "still.yaml").write_text(
        """
        world: {name: "still:Broken"}
        model: {encoder: vn_cloud, latent: 8, weights: real, encoder_widths: [4]}
        training: {transitions: 64, batch: 32, epochs: 1}
        planning: {horizon: 2, samples: 8, iterations: 1, elites: 2, steps: 2, replan: 2}
        """
    )
    assert equiwm("train", "--preset", "still.yaml", "--quiet") == 0
    path = home / "runs" / "still"
    before = snapshot(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STILL", "1")
        for command in ("verify-equivariance", "sweep-group", "rollout", "closed-loop"):
            capsys.readouterr()
            assert equiwm(command, path, "--quiet") == 2
            assert "never moves" in capsys.readouterr().err
    assert snapshot(path) == before


def test_a_group_that_changes_nothing_is_no_question(home, capsys, snapshot):
    """Every model is exact under it: no command says so."""
    assert equiwm("train", "--preset", "spring.yaml", "--set", "training.epochs=1", "--quiet") == 0
    path = home / "runs" / "spring"
    before = snapshot(path)
    for command in ("verify-equivariance", "sweep-group"):
        for group in ("c1", "c1*c1"):
            capsys.readouterr()
            assert equiwm(command, path, "--group", group, "--quiet") == 2
            err = capsys.readouterr().err
            assert "changes neither the observations (5xp+5x1o) nor the actions (2x1o)" in err
            assert "pass --group se2" in err
    assert snapshot(path) == before


def test_a_fault_of_ours_stays_one(home, monkeypatch):
    """In a world of ours, and in our base below a user's world."""

    def faulty(*_):
        raise KeyError("ours")

    spring = build_world(load("spring.yaml").world)
    monkeypatch.setattr(Field, "step", faulty)
    with pytest.raises(KeyError):
        build_world(FieldConfig()).transitions(3, seed=0)
    monkeypatch.setattr(Scenes, "roll", faulty)
    with pytest.raises(KeyError):
        spring.transitions(3, seed=0)


def test_a_world_in_a_subject_made_by_hand_is_checked_as_well(home):
    (home / "duck.py").write_text(DUCK.replace(", coverage = ", ", kover = "))
    import duck  # type: ignore[import-not-found]

    from equiwm import Subject

    with pytest.raises(DataError, match="duck:Duck lacks 'coverage'"):
        Subject(torch.nn.Identity(), duck.Duck(None))


# --- a group and a kind of representation


def test_a_finite_group_from_outside_sweeps_its_own_elements(home, capsys):
    """The world carries five turns about a tilted axis, and not the circle; an ordinary model carries neither."""
    assert equiwm("train", "--preset", "carousel.yaml", "--quiet") == 0
    path = home / "runs" / "carousel"
    assert equiwm("sweep-group", path, "--transitions", 40, "--quiet") == 0
    found = json.loads((path / "metrics.json").read_text())["sweep_group"]
    assert (found["group"], len(found["bins"])) == ("five", 5)
    assert found["flatness"] > 1e-3
    assert equiwm("verify-equivariance", path, "--world-rollouts", 8, "--quiet") == 1
    found = json.loads((path / "metrics.json").read_text())["verify_equivariance"]
    assert found["verdict"] == "broken"
    assert max(found["world"]["worst"].values()) < 1e-12
    world = load_run(path).world
    orbit = parse_orbit(None, world, 0)
    assert len(orbit.labels) == len(orbit.elements) == 4  # all of its elements but the identity, each once
    assert bool(world.group.contains(orbit.elements).all())
    assert bool(orbit.elements.turns.all())
    assert equiwm("sweep-group", path, "--group", "so3", "--transitions", 40, "--bins", 4, "--quiet") == 0
    excess = json.loads((path / "metrics.json").read_text())["sweep_group"]["symmetry_excess"]
    assert not excess["world_symmetric"]
    capsys.readouterr()


def test_a_group_from_outside_is_named_on_the_command_line(home, capsys):
    preset = ("--set", "training.epochs=1", "--set", "training.transitions=128", "--quiet")
    assert equiwm("train", "--preset", "vn-3d", *preset) == 0
    path = home / "runs" / "vn-3d"
    options = ("--group", "carousel:FIVE", "--dtype", "float64", "--quiet")
    assert equiwm("sweep-group", path, "--transitions", 40, *options) == 0
    found = json.loads((path / "metrics.json").read_text())["sweep_group"]
    assert (found["group"], len(found["bins"])) == ("five", 5)
    assert found["flatness"] < 1e-10
    assert equiwm("sweep-group", path, "--group", "carousel:STRESS") == 2
    assert equiwm("sweep-group", path, "--group", "carousel:SIX") == 2
    err = capsys.readouterr().err
    assert "Stress is no group" in err
    assert "has no 'SIX'" in err


def test_a_kind_from_outside_is_one_object(home):
    """v v^T of a vector is a stress; its entries taken for scalars are not."""
    stress = importlib.import_module("carousel").STRESS
    rep = Rep.parse("1xstress", 3, kinds=[stress])
    v = torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def square(vector):
        x, y, z = vector.unbind(-1)
        root = 2.0**0.5
        return torch.stack([x * x, y * y, z * z, root * y * z, root * x * z, root * x * y], -1)

    assert check_equivariance(square, ["1o"], rep, "o3", [v]).relative < 1e-14
    assert check_equivariance(square, ["1o"], "6x0e", "o3", [v]).relative > 0.1
    assert str(rep) == "1xstress"


# --- a claim, and a stress test


def test_a_claim_from_outside_has_a_command_tables_and_a_figure(home, capsys):
    preset = ("--set", "training.epochs=1", "--set", "training.transitions=128", "--quiet")
    assert equiwm("train", "--preset", "vn-2d", *preset) == 0
    path = home / "runs" / "vn-2d"
    shutil.copy(Path(__file__).parent / "outside_claim.py", home)
    capsys.readouterr()
    assert equiwm("measure", "outside_claim:CLAIM", path, "--quiet") == 0
    shown = capsys.readouterr().out
    section = importlib.import_module("outside_claim").CLAIM.name
    stored = json.loads((path / "metrics.json").read_text())[section]
    assert stored["schema"] == 2
    assert list((path / "figures").glob("*.png"))
    assert equiwm("report", path, "--claim", "outside_claim:CLAIM") == 0
    assert "worst drift" in shown
    assert "| vn-2d | mean | 1 |" in capsys.readouterr().out


UNFIT = """
import torch
from equiwm.nn.layer import Layer
from equiwm.symmetry.reps import Rep, vectors

class Wide(torch.nn.Module):
    def __init__(self, config, first, second):
        super().__init__()
        self.map = torch.nn.Linear(first.dim, second.dim + 1)
    def forward(self, x):
        return self.map(x.flatten(1))

def layer(takes, gives):
    class Named(Layer):
        def forward(self, x):
            return x
    return Named(takes, gives, "flat")

def takes_other(config, first, second): return layer(vectors(3, 2), second)
def in_space(config, first, second): return layer(first, vectors(4, 3))
def unreadable(config, first, second): return layer(first, Rep.parse("4x7q", 2))
def nothing(*_): return None

class Whole(torch.nn.Module):
    def __init__(self, *_): super().__init__()
    def encode(self, x): return x.flatten(1)
    def predict(self, z, a): return z
class Unreadable(Whole): latent_rep = "4x7q"
class InSpace(Whole): latent_rep = vectors(4, 3)
class Still(Whole): latent_rep = "10x1o"
"""
UNFIT_PARTS = [
    ("model.encoder=unfit:Wide", "model.encoder 'unfit:Wide': Wide gave (2, 9) for 2 rows"),
    ("model.encoder=unfit:takes_other", "'unfit:takes_other': Named takes 3x1o in 2D; expected 5xp+5x1o in 2D"),
    ("model.encoder=unfit:in_space", "model.encoder 'unfit:in_space': Named gives 4x1o in 3D; expected 4x1o in 2D"),
    ("model.encoder=unfit:unreadable", "model.encoder 'unfit:unreadable': cannot read rep '4x7q'"),
    ("model.encoder=unfit:nothing", "model.encoder 'unfit:nothing' gave NoneType; expected a torch module"),
    ("model.module=unfit:nothing", "model.module 'unfit:nothing': a model is a torch module; got NoneType"),
    ("model.module=unfit:Unreadable", "model.module 'unfit:Unreadable': cannot read rep '4x7q'"),
    ("model.module=unfit:InSpace", "'unfit:InSpace': InSpace.latent_rep 4x1o lives in 3D; the observations in 2D"),
    ("model.module=unfit:Still", "the model has no parameters that a training could change"),
    ("world.name=unfit:nothing", "world 'unfit:nothing'(config) returns nothing; expected a world"),
]


@pytest.mark.parametrize(("assignment", "words"), UNFIT_PARTS)
def test_a_part_of_a_user_s_that_does_not_fit_is_named(home, capsys, assignment, words):
    (home / "unfit.py").write_text(UNFIT)
    jepa = ("--set", "training.objective=jepa", "--set", "model.latent=8", "--set", "model.encoder=vn_cloud")
    assert equiwm("train", "--preset", "spring.yaml", *jepa, "--set", assignment, "--quiet") == 2
    err = capsys.readouterr().err
    assert words in err
    assert len(err.splitlines()) <= 2
    assert list(home.glob("runs/*")) == []


def test_complex_weights_are_of_the_plane(home, capsys):
    assert equiwm("train", "--preset", "vn-3d", "--set", "model.weights=complex", "--quiet") == 2
    assert "complex weights need a world with d = 2; this one has d = 3" in capsys.readouterr().err


def test_a_study_none_of_whose_cells_can_be_computed_is_refused(home, capsys):
    (home / "still.py").write_text(SCENE.replace("0.1 * action", "0.0 * action"))
    text = (home / "spring.yaml").read_text().replace('"spring:Spring", stiffness: 4.0', '"still:Broken"')
    (home / "still.yaml").write_text(text)
    assert equiwm("ablate", "data", "--preset", "still.yaml", "--seeds", 1, "--quick", "--jobs", 1, "--quiet") == 2
    err = capsys.readouterr().err
    assert "error: none of the 6 cells can be computed: the world 'still:Broken' never moves" in err
    assert not list(home.glob("runs/*/metrics.json"))


FAULTS = {
    "drawings": ("    def draw(folder", "    [][1]\n\n    def draw(folder", "its figure raised IndexError"),
    "draw": ("        import pandas as pd", "        raise KeyError('mine')", "its figure raised KeyError: 'mine'"),
    "no path": ('return save(figure, frame, folder, "drift")', "return None", "expected the path of the PNG, got None"),
    "no drawing": ('yield Drawing("drift", draw)', 'yield "drift"', "expected an iterable of Drawing"),
}


def test_a_factor_of_a_user_s_claim_that_fails_in_a_report_is_named(home, capsys, copy_run):
    """The figure of a whole report asks every claim for it."""
    path, text = copy_run(), (Path(__file__).parent / "outside_claim.py").read_text()
    assert 'lambda result: "a step"' in text
    (home / "bad_factor.py").write_text(text.replace('lambda result: "a step"', "lambda result: [][1]"))
    assert equiwm("measure", "bad_factor:CLAIM", path, "--baseline", copy_run("mlp-2d"), "--quiet") == 0
    assert equiwm("report", path, "--claim", "bad_factor:CLAIM", "--figures", "drawn") == 2
    assert "claim 'bad_factor:CLAIM': its factor raised IndexError" in capsys.readouterr().err


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("form", [("--figures", "drawn"), ("--format", "html")])
def test_a_figure_of_a_user_s_claim_that_fails_in_a_report_is_named(home, capsys, fault, form, copy_run):
    """Measured when all was well, as the figure was drawn; the report draws it anew."""
    path, old, new, words = copy_run(), *FAULTS[fault]
    text = (Path(__file__).parent / "outside_claim.py").read_text()
    assert old in text
    (home / "well.py").write_text(text)
    assert equiwm("measure", "well:CLAIM", path, "--quiet") == 0
    shutil.rmtree(path / "figures")
    name = f"bad_{fault.replace(' ', '_')}"
    (home / f"{name}.py").write_text(text.replace(old, new))
    capsys.readouterr()
    assert equiwm("report", path, "--claim", f"{name}:CLAIM", *form) == 2
    err = capsys.readouterr().err
    assert f"error: claim '{name}:CLAIM': its figure raised" in err
    assert words in err


def test_a_stress_test_from_outside_is_one_module(home, capsys):
    shutil.copy(Path(__file__).parent / "toy_study.py", home)
    assert equiwm("ablate", "toy_study:KIND", "--dim", 2, "--jobs", 1, "--quiet") == 1  # one network diverges
    assert "| 2D | largest error | 0.583 [0.500, 0.667] | NO | at most 0.5 |" in capsys.readouterr().out
    assert equiwm("report", home / "runs") == 0


DRIFTING = """
import torch
from spring import Spring
from spring_control import SpringControl

class Drifting(Spring):
    \"\"\"It turns by itself, whatever is done.\"\"\"

    def step(self, observation, action):
        angle = torch.tensor(0.1, dtype=torch.float64)
        turn = torch.stack([torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])])
        place, speed = observation.chunk(2, -2)
        middle = place.mean(-2, keepdim=True)
        return torch.cat([(place - middle) @ turn + middle, speed @ turn], -2)

    def control(self, observations):
        return SpringControl(self, observations)
"""


def test_a_loop_in_a_world_that_no_action_reaches_proves_nothing(home, capsys):
    """The body turns, the episodes are the same at every orientation, and the controller had no part in it."""
    (home / "drifting.py").write_text(DRIFTING)
    settings = ("--set", "world.name=drifting:Drifting", "--set", "training.epochs=1")
    assert equiwm("train", "--preset", "spring.yaml", *settings, "--quiet") == 0
    loop = ("closed-loop", home / "runs" / "spring", "--tasks", 2, "--orbit", "90", "--quiet", "--jobs", 1)
    assert equiwm(*loop, "--expect-invariant") == 1
    found = json.loads((home / "runs" / "spring" / "metrics.json").read_text())["closed_loop"]
    assert found["paired_abs_max_deg"] < 1e-6
    assert found["moved_deg"] > 10.0
    assert found["steered_deg"] < 1e-6
    assert found["verdict"] == "inconclusive"
    assert "without actions" in capsys.readouterr().err


def test_a_step_with_a_gradient_is_a_step(home):
    """A dynamics with a learned part is measured as any other, and stays differentiable."""
    (home / "learned.py").write_text(
        "import torch\nfrom spring import Spring\nfrom spring_control import SpringControl\n\n"
        "class Learned(Spring):\n"
        "    def step(self, observation, action):\n"
        "        one = torch.ones((), dtype=torch.float64, requires_grad=True)\n"
        "        return one * super().step(observation, action)\n\n"
        "    def control(self, observations):\n"
        "        return SpringControl(self, observations)\n"
    )
    settings = ("--set", "world.name=learned:Learned", "--set", "training.epochs=1")
    assert equiwm("train", "--preset", "spring.yaml", *settings, "--quiet") == 0
    run = home / "runs" / "spring"
    assert equiwm("verify-equivariance", run, "--world-rollouts", 2) in (0, 1)
    assert equiwm("sweep-group", run, "--bins", 2, "--quiet") == 0
    assert equiwm("closed-loop", run, "--tasks", 2, "--orbit", "90", "--quiet", "--jobs", 1) == 0
    world = load_run(run).world
    data = world.transitions(2, seed=0)
    action = data.action.clone().requires_grad_()
    world.step(data.observation, action).sum().backward()
    assert action.grad is not None
    assert float(action.grad.abs().sum()) > 0
