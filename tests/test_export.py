"""A model as files: the run's own predictions and symmetry, plans without a world, and what is refused."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import equiwm
from equiwm.cli.main import run as command
from equiwm.config import load
from equiwm.errors import ConfigError, DataError, MissingExtraError, RunError, TrustError
from equiwm.export import write
from equiwm.export.card import card
from equiwm.export.loaded import ExportedModel, kept_metric, load_export
from equiwm.export.record import FILES, PlanRecord, read_record
from equiwm.export.view import ExportedView, measured
from equiwm.export.write import AGREEMENT, export_model
from equiwm.loading import load_run, save_subject
from equiwm.models.factory import build_model
from equiwm.models.world_model import WorldModel
from equiwm.planning.control import PlannerPolicy, build_planner
from equiwm.planning.goals import goal_kind, model_goal
from equiwm.planning.step_metric import latent_metric
from equiwm.planning.variants import parse_variant
from equiwm.planning.view import PlannerView
from equiwm.subject import Subject
from equiwm.worlds.factory import build_world

EXTRAS = {"safetensors": ("safetensors",), "torch-export": (), "onnx": ("onnx", "onnxscript", "onnxruntime")}
FORMATS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            any(importlib.util.find_spec(package) is None for package in packages), reason="needs the extra export"
        ),
    )
    for name, packages in EXTRAS.items()
]
FAST = ["planning.samples=40", "planning.elites=8", "planning.iterations=2", "planning.horizon=4"]


@pytest.fixture(scope="module")
def commanded(trained, tmp_path_factory) -> tuple[Path, str, str]:
    """The tiny vn-2d as programs of torch.export, which need no extra, by the command; and what it printed."""
    folder = tmp_path_factory.mktemp("exported") / "deep" / "vn-2d"
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        assert command(["export", str(trained / "vn-2d"), "--format", "torch-export", "--out", str(folder)]) == 0
    return folder, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def exported(commanded) -> Path:
    return commanded[0]


@pytest.fixture(scope="module")
def model(exported) -> ExportedModel:
    return load_export(exported, settings=FAST)


def scenes(world, n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    data = world.transitions(n, seed=5)
    return data.observation, data.action


# What is written


def check(folder: Path, subject: Subject) -> None:
    record = read_record(folder)
    assert set(record.parts) == {"encoder", "predictor", "composed"}
    for part in record.parts.values():
        assert part.agreement <= AGREEMENT == 1e-6
        assert part.run.verdict == part.export.verdict == "exact"
    loaded = load_export(folder)
    observation, action = (x.to(subject.dtype) for x in scenes(subject.world))
    with torch.no_grad():
        latent = subject.model.encode(observation)
        torch.testing.assert_close(loaded.encode(observation), latent, rtol=1e-5, atol=1e-6)
        expected = subject.model.predict(latent, action)
        torch.testing.assert_close(loaded.predict(latent, action.numpy()), expected, rtol=1e-5, atol=1e-6)
    assert loaded.encode(observation[:1]).dtype == subject.dtype
    told = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert all(sha in told for sha in (*record.files.values(), str(subject.checkpoint_sha256)))
    assert "200 transitions, angles of" in told
    assert str(subject.model.latent_rep) in told
    assert {path.name for path in folder.iterdir()} == {
        *FILES[record.format],
        "export.json",
        "MODEL_CARD.md",
        ".equiwm",
    }


def test_programs_of_torch_are_the_run(exported, trained):
    check(exported, load_run(trained / "vn-2d"))


@pytest.mark.parametrize("format", [entry for entry in FORMATS if entry.values[0] != "torch-export"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_format_is_the_run(format, dtype, trained, tmp_path):
    subject = load_run(trained / "vn-2d", getattr(torch, dtype))
    export_model(subject, tmp_path / "out", format)
    check(tmp_path / "out", subject)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("preset", ["vn-3d", "vn-body", "vn-2d-forward", "mlp-3d-centred", "vn-field-3d"])
def test_other_models_are_exported_too(format, preset, tmp_path):
    config = load(preset)
    world = build_world(config.world)
    made = build_model(config.model, world.observation_rep, world.action_rep, seed=0)
    subject = Subject(made, world, config=config, train=world.transitions(64, seed=0))
    record = export_model(subject, tmp_path / "out", format)
    assert all(part.agreement <= AGREEMENT for part in record.parts.values())
    assert record.plan is not None
    found = load_export(tmp_path / "out", settings=FAST)
    observation, _ = scenes(world)
    assert found.plan(observation[0], observation[1]).isfinite().all()


def test_the_command_prints_both_and_refuses_the_same_place(commanded, trained, capsys, snapshot):
    folder, out, err = commanded
    assert "| encoder | exact |" in out
    assert "agreement" in out
    assert str(folder) in err
    before = snapshot(folder)
    assert command(["export", str(trained / "vn-2d"), "--format", "torch-export", "--out", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "exists; pass another --out" in said
    assert len(said.splitlines()) <= 2
    assert snapshot(folder) == before


def test_a_run_with_an_export_in_it_is_whole(exported, copy_run, capsys):
    import shutil

    path = copy_run()
    shutil.copytree(exported, path / "export" / "torch-export")
    assert command(["fsck", str(path.parent)]) == 0
    assert command(["report", str(path), "--json"]) == 0
    assert load_export(path / "export" / "torch-export").record.name == "vn-2d"


def test_a_card_tells_of_data_that_was_given_by_hand(trained, model):
    subject = load_run(trained / "vn-2d")
    own = Subject(subject.model, subject.world, train=subject.world.transitions(7, seed=1), config=subject.config)
    own.run = subject.run
    told = card(model.record, own, "all angles")
    assert "| data | 7 rows that were given by hand |" in told
    assert "all angles" not in told


def test_a_card_escapes_what_somebody_else_wrote(trained, model):
    subject = load_run(trained / "vn-2d")
    assert subject.config is not None
    subject.config = replace(subject.config, description="<b>x</b> [y](z)\n# head\u202e")
    told = card(model.record, subject, "")
    assert "\\<b\\>x\\</b\\> \\[y\\](z) \\# head\\\\u202e" in told


# What is refused


def test_an_export_that_disagrees_is_refused_and_leaves_nothing(trained, tmp_path, monkeypatch):
    real = write.torch_files

    def other(model, observation, action):
        for parameter in model.predictor.parameters():
            parameter.data *= 1.0 + 3e-5
        return real(model, observation, action)

    monkeypatch.setattr(write, "torch_files", lambda model, *data: other(_copied(model), *data))
    with pytest.raises(RunError, match=r"its predictor differs from the run's by .*; nothing was written"):
        export_model(load_run(trained / "vn-2d"), tmp_path / "new" / "out", "torch-export")
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_agrees_and_is_no_longer_equivariant_is_refused(trained, tmp_path, monkeypatch):
    """A bias of 1e-7 of the output: within the agreement, and float64 sees that it does not turn."""
    real = write.torch_files

    class Biased(torch.nn.Module):
        def __init__(self, part, size):
            super().__init__()
            self.part, self.size = part, size
            self.in_rep, self.out_rep = part.in_rep, part.out_rep

        def forward(self, *given):
            return self.part(*given) + self.size

    def other(model, observation, action):
        model = _copied(model)
        model.predictor = Biased(model.predictor, 1e-7 * float(model(observation, action).detach().abs().max()))
        return real(model, observation, action)

    monkeypatch.setattr(write, "torch_files", other)
    with pytest.raises(RunError, match=r"its predictor is (approximate|broken) under SO\(2\), and the run's is exact"):
        export_model(load_run(trained / "vn-2d", torch.float64), tmp_path / "out", "torch-export")
    assert list(tmp_path.iterdir()) == []


def _copied(model: WorldModel) -> WorldModel:
    import copy

    return copy.deepcopy(model)


def _saved(preset: str, folder: Path) -> Path:
    config = load(preset)
    world = build_world(config.world)
    made = build_model(config.model, world.observation_rep, world.action_rep, seed=0)
    return save_subject(Subject(made, world, config=config), folder, preset).path


@pytest.mark.parametrize("format", list(EXTRAS))
def test_a_group_averaged_model_is_refused(format, tmp_path, capsys, snapshot):
    path = _saved("frame-3d", tmp_path)
    before = snapshot(tmp_path)
    assert command(["export", str(path), "--format", format]) == 2
    said = capsys.readouterr().err
    assert "averaged over a group (FrameEncoder)" in said
    assert len(said.splitlines()) <= 2
    assert snapshot(tmp_path) == before


def test_weights_of_code_that_is_not_ours_are_refused(trained, tmp_path):
    subject = load_run(trained / "vn-2d")
    assert subject.config is not None
    subject.config = replace(subject.config, model=replace(subject.config.model, encoder="nets:Mine"))
    with pytest.raises(ConfigError, match=r"model\.encoder nets:Mine.*pass --format torch-export or onnx"):
        export_model(subject, tmp_path / "out", "safetensors")


@pytest.mark.parametrize(("format", "package"), [("safetensors", "safetensors.torch"), ("onnx", "onnxscript")])
def test_a_missing_extra_is_said_before_anything_is_written(format, package, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", object() if format == "onnx" else None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"equiwm export --format {format} needs {package.split('.')[0]}: pip"):
        export_model(load_run(trained / "vn-2d"), tmp_path / "out", format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "export.json").unlink(), "is no exported model"),
        (lambda folder: (folder / "export.json").write_text("{"), "is damaged"),
        (lambda folder: _edited(folder, schema=2), "has schema 2, expected at most 1"),
        (lambda folder: _edited(folder, dtype="float16"), "is damaged"),
        (lambda folder: _edited(folder, files={}), "has other files"),
        (lambda folder: (folder / "encode.pt2").write_bytes(b"no program"), "is not the file that"),
        (lambda folder: (folder / "predict.pt2").unlink(), "no such file"),
    ],
)
def test_a_damaged_export_is_named_in_a_line(damage, said, exported, tmp_path):
    import shutil

    folder = Path(shutil.copytree(exported, tmp_path / "copy"))
    damage(folder)
    with pytest.raises(RunError, match=said) as caught:
        load_export(folder)
    assert len(str(caught.value).splitlines()) == 1


def _edited(folder: Path, **changed: object) -> None:
    path = folder / "export.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def test_programs_of_somebody_else_need_trust(exported, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(TrustError, match="such a file may run code"):
        load_export(exported)
    assert load_export(exported, trust=True).record.name == "vn-2d"


# In use


def test_loading_imports_nothing_that_trains(exported):
    code = (
        "import sys, numpy as np, equiwm\n"
        f"model = equiwm.load_export({str(exported)!r}, settings={FAST!r})\n"
        "x = np.random.default_rng(0).normal(size=(1, 4, 2))\n"
        "model.predict(model.encode(x), np.zeros((1, 2)))\n"
        "model.plan(x[0], -x[0])\n"
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    rooms = ("training", "claims", "report", "worlds", "subject", "loading")
    heavy = ("pymunk", "gymnasium", "matplotlib", "scipy.optimize")
    found = [
        name
        for name in done.stdout.split()
        if name.startswith(tuple(f"equiwm.{room}" for room in rooms)) or name in heavy
    ]
    assert found == []


def test_a_plan_turns_with_the_scene(trained, model):
    """plan(g x, g x*) = g plan(x, x*), float64, the frame read off the latent."""
    subject = load_run(trained / "vn-2d", torch.float64)
    model = ExportedModel(replace(model.record, dtype="float64"), subject.model, model.planning)
    observation, _ = scenes(subject.world)
    g = subject.world.group.sample(1, 3)
    turned = subject.world.observation_rep.transform(observation, g)
    there = model.plan(observation[0], observation[1], seed=7)
    here = model.plan(turned[0], turned[1], seed=7)
    assert there.shape == (4, 1, 2)
    assert there.abs().max() > 0.05
    back = (here @ g.linear[0]).reshape(there.shape)
    assert float((back - there).abs().max()) <= 1e-9
    assert float((here - there).abs().max()) > 1e-3
    assert not torch.equal(model.plan(observation[0], observation[1], seed=8), there)


def test_plans_are_those_of_the_closed_loop(model, trained):
    """With the world's own frame: the same cost, the same noise, the same plan."""
    subject = load_run(trained / "vn-2d")
    observation, _ = scenes(subject.world)
    control = subject.world.control(observation)
    config, variant = model.planning, parse_variant("equivariant")
    goal = model_goal(config, goal_kind(config, subject.model, control), subject.model, control)
    g = subject.world.group.identity(1)
    policy = PlannerPolicy(
        control,
        build_planner(config, variant),
        variant,
        goal,
        subject.world.action_rep,
        [[3, 1]],
        oracle=g,
        shrink=False,
    )
    expected = policy(observation[:1], observation[1:2], 30)[0]
    given = model.plan(observation[0], observation[1], seed=[3, 1], frame=control.frames(observation[:1]).axes[0])
    assert float((given - expected).abs().max()) <= 1e-4  # another rollout, float32
    assert expected.abs().max() > 0.05


def test_plans_can_be_shorter_and_begin_from_others(model):
    rng = np.random.default_rng(0)
    x, goal = rng.normal(size=(2, 4, 2))
    first = model.plan(x, goal, horizon=2)
    assert first.shape == (2, 1, 2)
    warm = model.plan(x, goal, horizon=2, start=first)
    assert not torch.equal(first, warm)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"observation": np.zeros((3, 2))}, "observation has shape"),
        ({"goal": np.full((4, 2), np.nan)}, "NaN"),
        ({"start": np.zeros((1, 1, 2))}, "start has shape"),
        ({"frame": np.eye(3)}, "frame has shape"),
    ],
)
def test_a_plan_of_wrong_numbers_is_refused(given, said, model):
    values = {"observation": np.ones((4, 2)), "goal": np.zeros((4, 2)), **given}
    with pytest.raises(DataError, match=said):
        model.plan(values.pop("observation"), values.pop("goal"), **values)


def test_predictions_of_wrong_shapes_are_refused(model):
    with pytest.raises(DataError, match="predict takes latents"):
        model.predict(np.zeros((2, 127)), np.zeros((2, 2)))
    with pytest.raises(DataError, match="predict takes latents"):
        model.predict(np.zeros((2, 128)), np.zeros((1, 2)))


def test_settings_of_a_plan_are_checked(exported):
    with pytest.raises(ConfigError, match=r"planning\.elites"):
        load_export(exported, settings=["planning.samples=10"])
    with pytest.raises(ConfigError, match=r"planning\.goal: got pose, expected latent"):
        load_export(exported, settings=["planning.goal=pose"])


def test_a_print_fits(model):
    assert len(str(model)) <= 200


# What is kept of a world


@pytest.mark.parametrize("preset", ["vn-2d-forward", "vn-3d", "vn-body"])
def test_costs_and_frames_of_a_world_are_kept(preset):
    """The terms of a world's own control, horizon by horizon, from what stands in the record."""
    pytest.importorskip("mujoco") if preset == "vn-body" else None
    config = load(preset)
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=0).eval()
    rng = torch.Generator().manual_seed(0)
    seen = torch.randn(32, world.observation_rep.multiplicity, world.group.d, generator=rng, dtype=torch.float64)
    control = world.control(seen)
    plan = measured(model, config.planning, control, seen, _no_metric)
    view = ExportedView(model, plan)
    now, goal = seen[:3].flip(-1), seen[5:8].roll(1, -1)
    for horizon in {1, 2, config.planning.horizon}:
        own = control.centroid_term(now, goal, weight=0.7, horizon=horizon)
        kept = view.centroid_term(now, goal, weight=0.7, horizon=horizon)
        assert (own is None) == (kept is None)
        if own is not None and kept is not None:
            actions = torch.randn(3, 5, horizon, world.action_rep.multiplicity, world.group.d, generator=rng).double()
            empty = actions.new_empty(3, 0, 0, world.group.d, 5)
            torch.testing.assert_close(
                kept.score(empty, actions, slice(None)), own.score(empty, actions, slice(None)), rtol=1e-9, atol=1e-9
            )
    weights = {"running": config.planning.running, "approach": config.planning.approach, "weight": 5.0}
    term, other = control.pose_term(goal, **weights), view.pose_term(goal, **weights)
    if plan.kind == "pose":
        assert term is not None
        assert other is not None
        assert torch.equal(term.position, other.position)
        assert torch.equal(term.direction, other.direction)
        assert term.channels == other.channels
    g = world.group.sample(1, 2)
    there, here = view.frames(now), view.frames(world.observation_rep.transform(now, g))
    assert float((here.axes - g.linear @ there.axes).abs().max()) <= 1e-4  # a float32 encoder


def _no_metric():
    raise AssertionError("only a goal in steps asks for it")


@pytest.mark.parametrize("preset", ["vn-2d", "vn-3d"])
def test_a_goal_in_steps_is_kept(preset):
    """What an export plans towards costs what it does for the run."""
    config = load(preset)
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=0).double().eval()
    data = world.transitions(256, seed=1)
    control = world.control(data.observation)
    planning = replace(config.planning, goal="steps", running=0.3)
    metric = latent_metric(model, data, world.group, control)
    plan = measured(model, planning, control, data.observation, lambda: metric)
    read = msgspec.convert(json.loads(json.dumps(asdict(plan))), PlanRecord)
    now, wanted = data.observation[:3], data.observation[5:8]
    plans = torch.randn(3, 8, 4, world.action_rep.multiplicity, world.group.d, dtype=torch.float64)
    own = model_goal(planning, "steps", model, control, metric)(now, wanted, 4)(plans)
    kept = model_goal(planning, "steps", model, ExportedView(model, read), kept_metric(read))(now, wanted, 4)(plans)
    assert own.std() > 1e-3 * own.mean()
    torch.testing.assert_close(kept, own, rtol=1e-9, atol=0.0)
    euclidean = model_goal(planning, "latent", model, control)(now, wanted, 4)(plans)
    assert not torch.allclose(euclidean, own, rtol=1e-2)


class _Odd(PlannerView):
    """A world whose centroid is no fixed combination of what is observed."""

    def __init__(self, control):
        self.control = control

    def frames(self, observation):
        return self.control.frames(observation)

    def physical(self, actions):
        return actions

    def centroid_term(self, observation, goal, *, weight, horizon):
        made = self.control.centroid_term(observation, goal, weight=weight, horizon=horizon)
        return replace(made, start=made.start * observation.norm(dim=(-2, -1))[:, None])


def test_a_cost_that_cannot_be_kept_is_not_guessed():
    config = load("vn-3d")
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=0).eval()
    seen = torch.randn(32, 24, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(DataError, match="start of its centroid is no fixed combination"):
        measured(model, config.planning, _Odd(world.control(seen)), seen, _no_metric)


class _Scaled(_Odd):
    """A world that takes a planner's actions in another unit."""

    def physical(self, actions):
        return 0.1 * actions


def test_actions_in_units_of_a_world_are_not_guessed():
    config = load("vn-3d")
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=0).eval()
    seen = torch.randn(32, 24, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with pytest.raises(DataError, match="takes actions in units of its own"):
        measured(model, config.planning, _Scaled(world.control(seen)), seen, _no_metric)


def test_a_model_that_cannot_plan_says_why(model):
    cannot = ExportedModel(
        replace(model.record, plan=None, no_plan="its latents are scalars."), model.model, model.planning
    )
    with pytest.raises(DataError, match=r"vn-2d cannot plan: its latents are scalars\."):
        cannot.plan(np.zeros((4, 2)), np.zeros((4, 2)))


def test_a_world_without_tasks_plans_by_its_latent():
    config = load("vn-2d")
    world = build_world(config.world)
    model = build_model(config.model, world.observation_rep, world.action_rep, seed=0).eval()
    seen = torch.randn(32, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plan = measured(model, config.planning, None, seen, _no_metric)
    assert isinstance(plan, PlanRecord)
    assert (plan.kind, plan.pose, plan.centroid) == ("latent", None, None)
    with pytest.raises(ConfigError, match="no tasks"):
        measured(model, replace(config.planning, goal="pose"), None, seen, _no_metric)


def test_public_name():
    assert equiwm.load_export is load_export
