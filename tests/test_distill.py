"""`equiwm distill`: a policy that is a run like any other, from wherever it was interrupted, and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from equiwm.claims.closed_loop.episode import acting, controlled
from equiwm.claims.closed_loop.measure import closed_loop
from equiwm.claims.closed_loop.result import ClosedLoopResult
from equiwm.claims.compare.measure import comparison
from equiwm.claims.compare.pairs import pair_cell
from equiwm.cli.main import run
from equiwm.config import planning_of
from equiwm.distilling import fit as fitting
from equiwm.distilling.labels import Labels
from equiwm.distilling.prepare import recipe, usual_settings
from equiwm.errors import ConfigError, RunError
from equiwm.export.policy_loaded import load_policy
from equiwm.loading import load_run
from equiwm.models.policy import Policy, build_policy
from equiwm.planning.control import run_episodes
from equiwm.planning.variants import parse_variant
from equiwm.policy import UNTIL_SOLVED, PolicyConfig
from equiwm.runs import Run
from equiwm.subject import Subject
from equiwm.symmetry.groups import SO2
from equiwm.symmetry.reps import Rep
from equiwm.worlds.cloud.world import Cloud
from equiwm.worlds.world import World

OUTSIDE = Path(__file__).parent / "outside"
QUICK = {"horizon": 6, "samples": 16, "iterations": 2, "elites": 4, "steps": 8, "replan": 4}
SMALL = {"tasks": 3, "rounds": 2, "epochs": 3, "batch": 16, "widths": [8], "least_success": 0.0}
SET = [
    part
    for section, values in (("planning", QUICK), ("policy", SMALL))
    for key, value in values.items()
    for part in ("--set", f"{section}.{key}={value}")
]
"""A distillation of about a second, of a planner that solves nothing."""


def distilled(teacher: Path, out: Path, *more: str) -> int:
    return run(["distill", str(teacher), "--out", str(out), "--quiet", *SET, *more])


@pytest.fixture(scope="module")
def policies(trained, tmp_path_factory) -> Path:
    """A folder with a teacher, its policy and an ordinary one. Read only."""
    folder = tmp_path_factory.mktemp("policies")
    shutil.copytree(trained / "vn-2d-forward", folder / "vn-2d-forward")
    assert distilled(folder / "vn-2d-forward", folder) == 0
    assert distilled(folder / "vn-2d-forward", folder, "--policy", "augmented") == 0
    return folder


def small_policy(world: World) -> Policy:
    """A policy of a world, untrained."""
    config = PolicyConfig(widths=(4,), timed=False, relative=())
    return build_policy(config, world.observation_rep, world.action_rep, seed=0, group=world.group)


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path / "checkpoint.pt", weights_only=True)["policy"]
    return found


def same(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return all(torch.equal(first[name], second[name]) for name in first) and first.keys() == second.keys()


def test_a_policy_is_a_run(policies, capsys):
    path = policies / "vn-2d-forward-policy"
    assert {"config.yaml", "checkpoint.pt", "history.csv", "metrics.json", "summary.txt", "summary.svg"} <= {
        each.name for each in path.iterdir()
    }
    assert not (path / "resume.pt").exists()
    assert not (path / "distill").exists()
    ready = Run.open(path)
    assert ready.header.kind == "policy"
    assert ready.policy[1].name == "vn-2d-forward"
    assert ready.config.planning.horizon == 6
    section = ready.metrics()["distill"]
    assert len(section["rounds"]) == 2
    assert section["rounds"][0]["planner_share"] == 1.0
    # 3 tasks x 2 plans of 4 steps, of which the first round labels every step
    assert [each["plans"] for each in section["rounds"]] == [6, 6]
    assert section["rounds"][0]["labels"] == 24
    assert 24 < section["rounds"][1]["labels"] <= 48
    assert len(ready.history()) == 6
    assert run(["fsck", str(policies)]) == 0
    assert "3 runs, 0 findings" in capsys.readouterr().err


def test_it_is_carried_anywhere(policies, tmp_path, capsys):
    """Neither its teacher nor its own place is needed."""
    moved = tmp_path / "elsewhere"
    shutil.copytree(policies / "vn-2d-forward-policy", moved)
    assert load_run(moved).policy is not None
    assert run(["audit", str(moved), "--elements", "8"]) == 0
    assert "EXACT" in capsys.readouterr().out
    assert run(["audit", str(policies / "vn-2d-forward-policy-augmented"), "--elements", "8"]) == 1


def test_its_loop_is_paired(policies, tmp_path, capsys):
    """An equivariant policy does the same at every orientation; the ordinary one does not."""
    exact, ordinary = (policies / f"vn-2d-forward-policy{end}" for end in ("", "-augmented"))

    def loop(path: Path, **options) -> ClosedLoopResult:
        subject = load_run(path, torch.float64)
        return closed_loop(subject, **{"tasks": 2, "orbit": "90,101.3", "store": tmp_path / "loops", **options}).result

    found = loop(exact)
    assert found.paired_abs_max_deg < 1e-9
    assert found.variant == "policy/vn-2d-forward-policy"
    assert found.policy_sha256 == Run.open(exact).checkpoint_sha256()
    assert loop(ordinary).paired_abs_max_deg > 1e-3
    # The same episodes, asked of the teacher's run.
    teacher = policies / "vn-2d-forward"
    options = ["--policy", str(exact), "--set", "planning.steps=8", "--tasks", "2", "--orbit", "90,101.3"]
    where = ["--out", str(tmp_path), "--jobs", "1", "--quiet", "--json"]
    assert run(["closed-loop", str(teacher), *options, *where]) == 0
    beside = json.loads(capsys.readouterr().out)
    assert beside["error_deg"] == found.error_deg
    assert beside["checkpoint_sha256"] == Run.open(teacher).checkpoint_sha256() != beside["policy_sha256"]


def test_its_success_over_the_orbit(policies, tmp_path, capsys):
    """In the place of a planner, as in closed-loop: the sweep needs no world model."""
    path = policies / "vn-2d-forward-policy"
    options = ["--success", "--tasks", "2", "--bins", "2", "--jobs", "1", "--out", str(tmp_path), "--quiet", "--json"]
    assert run(["sweep-group", str(path), *options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parameters"] == load_run(path).parameter_count
    assert (len(told["bins"]), told["disagree"]) == (2, 0)


def test_both_sides_of_a_comparison_may_be_policies(policies):
    names = [str(policies / f"vn-2d-forward-policy{end}") for end in ("", "-augmented")]
    place = {"task": "own", "orientations": "all", "seed": 0, "dtype": torch.float32, "device": torch.device("cpu")}
    between = comparison(*names, **place)
    pair = pair_cell({**between.params, "task": 0})
    assert pair["a"]["error_deg"] != pair["b"]["error_deg"]
    against = comparison(names[0], str(policies / "vn-2d-forward"), **place)
    assert pair_cell({**against.params, "task": 0})["a"] == pair["a"]
    with pytest.raises(ConfigError, match="has no planner"):
        comparison(f"{names[0]}:planner=ordinary", names[1], **place)


@pytest.mark.parametrize("command", ["sweep-group", "rollout"])
def test_what_asks_for_a_world_model_says_so(policies, command, capsys):
    assert run([command, str(policies / "vn-2d-forward-policy"), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "is a policy and has no world model" in said
    assert len(said.splitlines()) <= 2


def test_its_equivariance_is_verified(policies, tmp_path, capsys):
    where = ("--quiet", "--json", "--samples", "4", "--dtype", "float64", "--out", str(tmp_path))
    assert run(["verify-equivariance", str(policies / "vn-2d-forward-policy"), *where]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["group"], told["verdict"]) == ("so2", "exact")
    assert [part["part"] for part in told["parts"]] == ["policy"]
    assert told["trained"]["composed"] <= 1e-12
    assert told["control"]["composed"] > 0.1
    assert told["weights_moved"] > 0.0
    assert told["trained"]["encoder"] is None
    table = ("--quiet", "--samples", "4", "--out", str(tmp_path / "table"))
    assert run(["verify-equivariance", str(policies / "vn-2d-forward-policy"), *table]) == 0
    shown = capsys.readouterr().out
    assert "| policy | exact" in shown
    assert "| encoder |" not in shown


def test_it_is_exported(policies, tmp_path, capsys):
    pytest.importorskip("safetensors")
    path = policies / "vn-2d-forward-policy"
    assert run(["export", str(path), "--out", str(tmp_path / "out"), "--dtype", "float64"]) == 0
    exported, own = load_policy(tmp_path / "out"), load_run(path, torch.float64).policy
    state, goal = torch.randn(2, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(exported.act(state, goal), own(state[None], goal[None])[0].detach(), rtol=0.0, atol=1e-14)
    assert exported.record.part.export.verdict == "exact"
    with pytest.raises(RunError, match="which has no model; load it with"):
        __import__("equiwm").load_export(tmp_path / "out")
    (tmp_path / "out" / "policy.safetensors").write_bytes(b"0")
    with pytest.raises(RunError, match="is not the file"):
        load_policy(tmp_path / "out")


# --- interruptions


@pytest.mark.parametrize("at", [3, 4])
def test_an_interrupted_distillation_goes_on_to_the_same_bits(policies, tmp_path, monkeypatch, capsys, at):
    """At the end of the first round, and in the second, whose labels the policy of the first one decides."""
    teacher, before = policies / "vn-2d-forward", fitting.PolicyFit.run_epoch

    def interrupted(self):
        if self.epoch == at:
            raise KeyboardInterrupt
        return before(self)

    monkeypatch.setattr(fitting.PolicyFit, "run_epoch", interrupted)
    assert distilled(teacher, tmp_path) == 130
    monkeypatch.setattr(fitting.PolicyFit, "run_epoch", before)
    path = tmp_path / "vn-2d-forward-policy"
    assert Run(path).state == "incomplete"
    assert run(["fsck", str(tmp_path)]) == 0
    assert distilled(teacher, tmp_path) == 2
    assert "--resume" in capsys.readouterr().err
    assert distilled(teacher, tmp_path, "--resume", "--jobs", "2" if at == 3 else "1") == 0
    assert same(path, policies / "vn-2d-forward-policy")
    assert distilled(teacher, tmp_path, "--resume") == 0
    assert "nothing to do" in capsys.readouterr().err


def test_a_kill_between_the_last_steps_leaves_nothing_for_long(policies, tmp_path, monkeypatch, capsys):
    from equiwm.distilling import run as distilling

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(distilling, "remove_file", killed)
    assert distilled(policies / "vn-2d-forward", tmp_path) == 130
    monkeypatch.undo()
    path = tmp_path / "vn-2d-forward-policy"
    assert {"resume.pt", "distill", "checkpoint.pt"} <= {each.name for each in path.iterdir()}
    assert run(["fsck", str(path)]) == 1
    assert "is left from a distillation that is complete" in capsys.readouterr().out
    assert distilled(policies / "vn-2d-forward", tmp_path, "--resume") == 0
    assert not {"resume.pt", "distill"} & {each.name for each in path.iterdir()}
    assert run(["fsck", str(path)]) == 0
    assert same(path, policies / "vn-2d-forward-policy")


def test_rounds_that_improve_it_go_on_to_the_same_bits(policies, tmp_path, monkeypatch):
    """Interrupted in the last of them; the rounds before them are those of a policy that is not improved."""
    teacher, before = policies / "vn-2d-forward", fitting.PolicyFit.run_epoch
    more = ("improved=2", "improved_states=1", "improved_epochs=2", "improved_from=2", "plan=1")
    improved = [part for each in more for part in ("--set", f"policy.{each}")]
    assert distilled(teacher, tmp_path / "whole", *improved) == 0

    def interrupted(self):
        if self.epoch == 9:
            raise KeyboardInterrupt
        return before(self)

    monkeypatch.setattr(fitting.PolicyFit, "run_epoch", interrupted)
    assert distilled(teacher, tmp_path, *improved) == 130
    monkeypatch.setattr(fitting.PolicyFit, "run_epoch", before)
    assert run(["fsck", str(tmp_path / "vn-2d-forward-policy")]) == 0
    assert distilled(teacher, tmp_path, *improved, "--resume", "--jobs", "2") == 0
    path = tmp_path / "vn-2d-forward-policy"
    assert same(path, tmp_path / "whole" / "vn-2d-forward-policy")
    assert not same(path, policies / "vn-2d-forward-policy")
    made, plain = (Run.open(p) for p in (path, policies / "vn-2d-forward-policy"))
    rounds = made.metrics()["distill"]["rounds"]
    assert rounds[:2] == plain.metrics()["distill"]["rounds"]
    # a state of each of 3 tasks, planned for three times
    assert [(each["plans"], each["planner_share"]) for each in rounds[2:]] == [(9, 0.0), (9, 0.0)]
    assert [each["labels"] - rounds[1]["labels"] for each in rounds[2:]] == [3, 6]
    history = made.history()
    assert [row["round"] for row in history] == [1] * 3 + [2] * 3 + [3] * 2 + [4] * 2
    # those of the last two rounds alone
    assert history[-1]["labels"] == 6
    assert run(["fsck", str(path)]) == 0


def test_a_policy_of_whole_plans(policies, tmp_path):
    """It is a policy as any other; the last plans of an episode have fewer actions than it gives."""
    given = ("--set", "policy.plan=6", "--set", "planning.shrink=true")
    assert distilled(policies / "vn-2d-forward", tmp_path, *given) == 0
    subject = load_run(tmp_path / "vn-2d-forward-policy", torch.float64)
    assert subject.policy.plan == 6
    assert closed_loop(subject, tasks=2, orbit="90", store=tmp_path / "loops").result.paired_abs_max_deg < 1e-9


def test_tasks_that_end_when_solved_have_settings_of_their_own(policies, tmp_path):
    """Whichever way they are named; a user's stand above them."""
    subject, plain = load_run(policies / "vn-2d-forward"), PolicyConfig()
    assert usual_settings(subject, plain, None) == ()
    assert usual_settings(subject, plain, "standard") == UNTIL_SOLVED
    assert usual_settings(subject, replace(plain, task="standard"), None) == UNTIL_SOLVED
    assert recipe(subject, replace(plain, task="standard"), None, 0)[0].config.task == "standard"
    assert recipe(subject, replace(plain, task="standard"), "own", 0)[0].config.task == "own"
    few = ("tasks=1", "rounds=1", "improved=1", "improved_states=2", "improved_epochs=1")
    more = [part for each in few for part in ("--set", f"policy.{each}")]
    # plans that are shorter than what is to be carried out of them
    more += ["--set", "planning.hold=3", "--set", "planning.replan=100", "--set", "planning.samples=4"]
    assert distilled(policies / "vn-2d-forward", tmp_path, *more, "--set", "policy.task=standard") == 0
    made = Run.open(tmp_path / "vn-2d-forward-policy").policy[0]
    assert (made.task, made.goal, made.widths, made.label) == ("standard", "direction", (8,), "carried")
    assert (made.rounds, made.improved, made.plan, made.batch) == (1, 1, 2, 16)


def test_rounds_improve_the_policy_of_any_model(trained, tmp_path):
    """Of a latent that is no state: a planner is all that they ask for."""
    few = ("--set", "policy.rounds=1", "--set", "policy.improved=1", "--set", "policy.improved_states=2")
    assert distilled(trained / "vn-2d", tmp_path, *few) == 0
    assert load_run(tmp_path / "vn-2d-policy").policy.plan == 6


def test_what_a_label_does_not_have_is_not_learnt():
    state = torch.randn(6, 4, 2, generator=torch.Generator().manual_seed(0))
    plan = torch.randn(6, 2, 1, 2, generator=torch.Generator().manual_seed(1))
    config = PolicyConfig(widths=(8,), timed=False, relative=(), plan=4, epochs=1, batch=6)

    def fitted(labels: Labels) -> dict[str, torch.Tensor]:
        policy = build_policy(config, Rep.parse("4x1o", 2), Rep.parse("1o", 2), seed=0, group=SO2)
        fit = fitting.PolicyFit(config, policy, seed=0, group=SO2)
        fit.take(labels)
        fit.run_epoch()
        return policy.state_dict()

    short = Labels.of(state, state.flip(0), torch.ones(6, 1), plan, 4)
    assert short.actions.shape == (6, 4, 1, 2)
    assert short.known.tolist() == [[2.0]] * 6
    other = replace(short, actions=torch.cat([plan, torch.ones(6, 2, 1, 2)], 1))
    longer = replace(short, known=torch.full((6, 1), 3.0))
    found = [fitted(labels) for labels in (short, other, longer)]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert not all(torch.equal(found[0][name], found[2][name]) for name in found[0])


def test_interrupted_episodes_are_kept(policies, tmp_path, monkeypatch):
    from equiwm.claims.closed_loop import episode

    calls, before = [], episode.PlannerPolicy.plan

    def interrupted(self, *arguments, **more):
        calls.append(1)
        if len(calls) == 4:  # in the second round's first plan but one
            raise KeyboardInterrupt
        return before(self, *arguments, **more)

    monkeypatch.setattr(episode.PlannerPolicy, "plan", interrupted)
    assert distilled(policies / "vn-2d-forward", tmp_path) == 130
    assert len(list((tmp_path / "vn-2d-forward-policy" / "distill").rglob("cells/*.json"))) == 1
    assert distilled(policies / "vn-2d-forward", tmp_path, "--resume") == 0
    assert same(tmp_path / "vn-2d-forward-policy", policies / "vn-2d-forward-policy")


def test_an_episode_that_begins_solved_has_no_labels():
    """Beside others, and alone."""
    some = Labels(
        torch.zeros(2, 4, 2), torch.zeros(2, 4, 2), torch.ones(2, 1), torch.zeros(2, 1, 1, 2), torch.ones(2, 1)
    )
    assert len(Labels.cat([])) == 0
    assert Labels.cat([Labels.cat([]), some]).observation.shape == (2, 4, 2)


# --- refusals


def test_there_is_nothing_to_clone_of_a_planner_that_fails(policies, tmp_path, capsys):
    assert distilled(policies / "vn-2d-forward", tmp_path, "--set", "policy.least_success=0.5") == 2
    said = capsys.readouterr().err
    assert "there is nothing to clone: the planner of" in said
    assert "solved 0 of 3 tasks (own)" in said
    assert len(said.splitlines()) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--task", "standrad"], "unknown task"),
        (["--task", "own", "--set", "policy.widht=[4]"], "unknown key 'policy.widht'"),
        (["--set", "policy.encoder=vnn"], "unknown model.encoder"),
        (["--set", "policy.optimizer=adamm"], "unknown"),
        (["--set", "model.latent=4"], "unknown section"),
        (["--set", "policy.planner_share=2"], "expected a share"),
        (["--set", "policy.relative=[0,9]"], "policy.relative"),
        (["--set", "policy.plan=7"], "expected at most the 6 actions of a plan"),
        (["--set", "policy.improved_margin=-1"], "expected a share"),
        (["--name", "a/b"], "expected a folder name"),
        (["--policy", "cnn"], "cnn"),
    ],
)
def test_wrong_names(policies, tmp_path, capsys, more, says):
    assert distilled(policies / "vn-2d-forward", tmp_path, *more) == 2
    said = capsys.readouterr().err
    assert says in said
    assert len(said.strip().splitlines()) <= 2
    assert not list(tmp_path.iterdir())


def test_a_policy_has_no_planner_to_clone(policies, tmp_path, capsys):
    assert distilled(policies / "vn-2d-forward-policy", tmp_path) == 2
    assert "is a policy itself" in capsys.readouterr().err


def test_another_teacher_is_not_gone_on_with(policies, trained, tmp_path, capsys):
    shutil.copytree(policies / "vn-2d-forward-policy", tmp_path / "name")
    assert distilled(trained / "mlp-2d-forward", tmp_path, "--name", "name", "--resume") == 2
    assert "the configuration changed" in capsys.readouterr().err


def test_a_policy_of_other_reps_or_of_another_world(policies):
    teacher = load_run(policies / "vn-2d-forward")
    place = controlled(teacher)
    with pytest.raises(ConfigError, match="is no policy"):
        place.driven_by(teacher)
    cloud = Cloud()
    policy = small_policy(cloud)
    with pytest.raises(ConfigError, match="was cloned in the world 'cloud'"):
        place.driven_by(Subject(None, cloud, policy=policy, name="stranger"))

    world = teacher.world
    other = SimpleNamespace(
        **{"name": world.name, "group": world.group, "components": {}},
        **{"observation_rep": world.action_rep, "action_rep": world.action_rep},
    )
    stranger = SimpleNamespace(policy=policy, world=other, path="stranger")
    with pytest.raises(ConfigError, match="takes observations 1x1o and gives actions 1x1o"):
        place.driven_by(stranger)


def test_options_of_a_planner_are_none_of_a_policy(policies, capsys):
    path = str(policies / "vn-2d-forward-policy")
    for more in (["--goal", "latent"], ["--planner", "ordinary"]):
        assert run(["closed-loop", path, "--tasks", "2", "--quiet", *more]) == 2
        assert "plans for nothing" in capsys.readouterr().err
    cloud = Subject(None, Cloud(), policy=small_policy(Cloud()), name="stranger")
    with pytest.raises(RunError, match="has no world model"):
        closed_loop(cloud, tasks=2, references=True, store=policies / "none")
    assert run(["closed-loop", str(policies / "vn-2d-forward"), "--policy", str(policies / "vn-2d-forward")]) == 2
    assert "is no policy" in capsys.readouterr().err


# --- damage


def test_fsck_finds_what_does_not_belong(policies, tmp_path, capsys):
    path = tmp_path / "vn-2d-forward-policy"
    shutil.copytree(policies / "vn-2d-forward-policy", path)
    rows = (path / "history.csv").read_text().splitlines()
    (path / "history.csv").write_text("\n".join([*rows[:-1], rows[-1].rpartition(",")[0] + ",9.0"]) + "\n")
    shutil.copy(policies / "vn-2d-forward-policy-augmented" / "checkpoint.pt", path / "checkpoint.pt")
    assert run(["fsck", str(path)]) == 1
    said = capsys.readouterr().out
    assert "does not belong to" in said
    assert "is not the history" in said
    with pytest.raises(RunError, match="does not belong to"):
        load_run(path)


# --- worlds of others, and settings of planning


def test_a_world_from_outside(tmp_path, monkeypatch, capsys):
    """A user's world, whose policy sees how much of the episode is left; nothing in the package knows it."""
    for name in ("spring.py", "spring_control.py", "spring.yaml"):
        shutil.copy(OUTSIDE / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    try:
        named = ["--set", "world.name=spring_control:ControlledSpring", "--set", "world.stiffness=4.0"]
        named += ["--set", "planning.shrink=true", "--quiet"]
        assert run(["train", "--preset", "spring.yaml", *named]) == 0
        assert distilled(Path("runs/spring"), Path("runs")) == 0
        assert Run.open("runs/spring-policy").policy[0].timed
        capsys.readouterr()
        assert run(["audit", "runs/spring-policy", "--elements", "8"]) == 0
        assert "EXACT" in capsys.readouterr().out
        subject = load_run("runs/spring-policy", torch.float64)
        found = closed_loop(subject, tasks=2, orbit="so2:2", store=tmp_path / "loops").result
        assert found.paired_abs_max_deg < 1e-9
        assert run(["fsck", "runs"]) == 0
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]


def test_whoever_drives_a_run_holds_its_actions(policies):
    """What compare and collect drive episodes with knows hold and warm, as closed-loop does."""
    subject = load_run(policies / "vn-2d-forward")
    settings = ["horizon=6", "hold=3", "replan=3", "warm=true", "samples=8", "iterations=1", "elites=2"]
    subject = subject.altered(planning=planning_of(subject.planning, [f"planning.{each}" for each in settings]))
    place = controlled(subject)
    tasks = place.control.tasks(1, 0)
    policy, replan = acting(
        place, subject.planning, parse_variant("equivariant"), [[0]], subject.world.group.identity(1)
    )
    plan = policy(place.control.begin(tasks).observation, tasks.goal, 30)
    assert plan.shape[1] == 6
    assert torch.equal(plan[:, 0], plan[:, 2])
    assert not torch.equal(plan[:, 2], plan[:, 3])
    assert run_episodes(place.control, tasks, policy, steps=6, replan=replan).observations.shape[1] == 7
