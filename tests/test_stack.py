"""Seeds trained as one program: the same bits as alone, at any time, and each may fail or be interrupted by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from equiwm.cli.main import run as command_line
from equiwm.config import load
from equiwm.errors import RunError, TrainingError
from equiwm.grid import Cell, Stacks, run_grid
from equiwm.locate import BUILT_IN
from equiwm.models.factory import build_model
from equiwm.nn import stacked
from equiwm.runs import Run
from equiwm.symmetry.groups import SO2
from equiwm.symmetry.reps import vectors
from equiwm.training import room, together
from equiwm.training import stack as stacking
from equiwm.training.fit import Fit
from equiwm.training.run import Training, prepare_run, train_run
from equiwm.training.stack import build_stack
from equiwm.training.together import train_runs, train_together, watched_by
from equiwm.worlds.world import Sequences, Transitions

CPU = torch.device("cpu")
SMALL = {"encoder_widths": (32,), "predictor_widths": (32, 32), "latent": 24, "predictor_products": 12}
TINY = {"encoder_widths": (8,), "predictor_widths": (8, 8), "latent": 12}


def data_of(n: int, seed: int, d: int, horizon: int) -> Transitions | Sequences:
    """A linear map that commutes with rotations, in float64 as worlds give it."""
    rng = np.random.default_rng(seed)
    states, actions = [rng.normal(size=(n, 4, d))], rng.normal(size=(n, horizon, d))
    for action in actions.swapaxes(0, 1):
        states.append(0.9 * states[-1] + 0.1 * action[:, None] * np.arange(1.0, 5.0)[:, None])
    observations, episode = torch.from_numpy(np.stack(states, 1)), torch.arange(n)
    if horizon > 1:
        return Sequences(observations, torch.from_numpy(actions), episode=episode)
    return Transitions(observations[:, 0], torch.from_numpy(actions[:, 0]), observations[:, 1], episode=episode)


def fit_of(
    preset: str, seed: int, *, n: int = 150, d: int = 2, horizon: int = 1, model: dict | None = None, **training
):
    config = load(preset)
    settings = replace(
        config.training, **{"transitions": n * horizon, "horizon": horizon, "batch": 64, "epochs": 3, **training}
    )
    built = build_model(
        replace(config.model, **{**SMALL, "free_widths": (32,), **(model or {})}),
        vectors(4, d),
        vectors(1, d),
        seed=seed,
    )
    return Fit(settings, built, data_of(n, seed, d, horizon), seed=seed, group=SO2 if settings.augment else None)


def everything(fit: Fit) -> list[object]:
    """What a training's next epoch depends on, flat."""

    def flat(value: object) -> Iterator[object]:
        if isinstance(value, dict):
            for key, part in value.items():
                yield key
                yield from flat(part)
        elif isinstance(value, list | tuple):
            for part in value:
                yield from flat(part)
        else:
            yield value

    return list(flat(fit.state_dict()))


def assert_same(first: Fit, second: Fit) -> None:
    ours, theirs = everything(first), everything(second)
    assert len(ours) == len(theirs)
    for mine, yours in zip(ours, theirs, strict=True):
        assert torch.equal(mine, yours) if isinstance(mine, Tensor) else mine == yours


def stacked_or_skipped(fits: list[Fit]) -> stacking.Stack:
    """The stack of trainings that can be one; on a machine whose batched products round otherwise there is none."""
    assert stacking._can_stack(fits)
    stack = build_stack(fits)
    if stack is None:
        pytest.skip("batched products are rounded otherwise on this machine: seeds train one by one here")
    return stack


CASES = {
    "complex weights": ("vn-2d", {}),
    "cross products": ("vn-3d", {"d": 3, "model": {"latent": 72}}),
    "layer norms": ("mlp-2d", {}),
    "the state": ("vn-2d-forward", {}),
    "the state, plain": ("mlp-2d-forward", {}),
    "a soft symmetry": ("soft-2d", {}),
    "a soft state": ("soft-2d-forward", {}),
    "normalised": ("vn-2d-forward", {"model": {"normalise": True}}),
    "normalised latent": ("vn-2d", {"model": {"normalise": True}}),
    "relative": ("vn-2d-forward", {"model": {"relative": (0, 2)}}),
    "several steps": ("vn-2d", {"horizon": 3}),
    "several steps of the state": ("vn-2d-forward", {"horizon": 3}),
    "augmented": ("mlp-2d", {"augment": True}),
    "constant rates": ("vn-2d", {"schedule": "constant"}),
    "even batches": ("vn-2d", {"n": 128}),
    **{name: ("mlp-2d", {"optimizer": name}) for name in sorted(BUILT_IN["optimizer"])},
}


@pytest.mark.parametrize("case", CASES)
def test_a_stack_trains_each_to_the_bits_that_it_has_alone(case):
    preset, options = CASES[case]
    alone, together_ = ([fit_of(preset, seed, **options) for seed in range(3)] for _ in range(2))
    stack = stacked_or_skipped(together_)
    for fit, other in zip(alone, together_, strict=True):
        assert_same(fit, other)  # comparing has changed nothing
    for _ in range(3):
        assert [fit.run_epoch() for fit in alone] == stack.run_epoch()
        for fit, other in zip(alone, together_, strict=True):
            assert_same(fit, other)
    assert not torch.equal(*(next(fit.model.parameters()) for fit in alone[:2]))


def test_what_is_no_stack_is_none():
    def stack_of(*fits: Fit):
        return build_stack(fits)

    def fit(seed: int = 0, preset: str = "vn-2d", **options) -> Fit:
        return fit_of(preset, seed, **options)

    class Foreign(torch.optim.AdamW):
        pass

    class Other(type(fit().model.encoder)):
        pass

    ahead, optimised, derived = fit(), fit(), fit()
    ahead.run_epoch()
    optimised.optimizers.optimizers = [Foreign(optimised.model.parameters())]
    derived.model.encoder.__class__ = Other
    assert stacking._can_stack([fit(), fit(1)])
    assert stack_of(fit()) is None
    assert stack_of(fit(), fit(1, n=100)) is None  # other sizes of data
    assert stack_of(fit(), fit(1, lr=0.1)) is None
    assert stack_of(fit(), ahead) is None
    assert stack_of(fit(), fit(1, "mlp-2d", lr=None)) is None
    assert stack_of(optimised, optimised) is None
    assert stack_of(derived, derived) is None
    assert stack_of(fit(preset="frame-2d"), fit(1, preset="frame-2d")) is None


def test_models_too_large_to_gain_are_no_stack(monkeypatch):
    fits = [fit_of("mlp-2d", seed) for seed in range(2)]
    monkeypatch.setattr(stacking, "STACKED_WEIGHTS", 2 * fits[0].model.parameter_count)
    assert stacking._can_stack(fits)
    monkeypatch.setattr(stacking, "STACKED_WEIGHTS", 2 * fits[0].model.parameter_count - 1)
    assert build_stack(fits) is None


def test_a_machine_that_rounds_otherwise_trains_one_by_one(monkeypatch):
    """A batched product that is off by a bit is found before anything is trained with it."""
    fits, alone = ([fit_of("vn-2d", seed) for seed in range(2)] for _ in range(2))
    exact = stacked._ComplexLinear.forward

    def rounded(ctx, x, real, imaginary):
        y = exact(ctx, x, real, imaginary)
        y[-1, -1, 0, 0] *= 1.0 + 2.0**-22
        return y

    monkeypatch.setattr(stacked._ComplexLinear, "forward", staticmethod(rounded))
    assert build_stack(fits) is None
    rows: list[dict] = []
    train_together(fits, lambda place, outcome: rows.append(outcome) is None)
    assert rows == [fit.run_epoch() for fit in alone for _ in range(3)]
    for fit, other in zip(alone, fits, strict=True):
        assert_same(fit, other)


@pytest.mark.parametrize("preset", ["vn-2d", "mlp-2d"])
def test_networks_too_small_to_be_rounded_alike_have_their_bits_all_the_same(preset):
    """torch multiplies the smallest batches of matrices by another kernel; whether that is so here is not asked."""
    alone, fits = ([fit_of(preset, seed, n=69, model=TINY) for seed in range(2)] for _ in range(2))
    train_together(fits, lambda place, outcome: True)
    for fit, other in zip(alone, fits, strict=True):
        while not fit.done:
            fit.run_epoch()
        assert_same(fit, other)


def test_those_behind_come_first_and_one_that_fails_ends_alone():
    alone, fits = ([fit_of("vn-2d", seed, epochs=5) for seed in range(4)] for _ in range(2))
    for group in (alone, fits):
        group[1].run_epoch()
        group[1].run_epoch()
        following = group[2].columns[2]
        following[3] = float("nan")
    expected = [[], [], [], []]
    for fit, rows in zip(alone, expected, strict=True):
        try:
            while not fit.done:
                rows.append(fit.run_epoch())
        except TrainingError as error:
            rows.append(str(error))
    found: list[list] = [[], [], [], []]
    order: list[int] = []

    def commit(place: int, outcome: object) -> bool:
        order.append(place)
        found[place].append(str(outcome) if isinstance(outcome, Exception) else outcome)
        return not isinstance(outcome, Exception)

    train_together(fits, commit)
    assert [len(rows) for rows in found] == [5, 3, 1, 5]
    assert found == expected
    assert order[:5] == [0, 2, 3, 0, 3]  # two epochs, until they are level with the one ahead
    assert "diverged in epoch 1" in found[2][0]
    for place in (0, 1, 3):
        assert_same(alone[place], fits[place])


# Run directories

CONFIG = load("vn-2d", None, ["training.transitions=120", "training.epochs=4", "training.batch=50"])


def files_of(run: Run) -> dict[str, bytes]:
    kept = {name: (run.path / name).read_bytes() for name in ("history.csv", "checkpoint.pt")}
    train = {key: value for key, value in run.metrics()["train"].items() if not key.endswith("seconds")}
    return {**kept, "train": json.dumps(train).encode()}


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> list[Run]:
    folder = tmp_path_factory.mktemp("straight")
    runs = [prepare_run(CONFIG, folder, f"run-s{seed}", seed=seed, resume=False) for seed in range(3)]
    for run in runs:
        train_run(run, device=CPU)
    return runs


def prepared(folder: Path, seeds: int = 3) -> list[Run]:
    return [prepare_run(CONFIG, folder, f"run-s{seed}", seed=seed, resume=True) for seed in range(seeds)]


class StopAfter:
    """Interrupts as Ctrl-C does when so many epochs of all are done."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def data(self, done: int, total: int) -> None:
        pass

    def epoch(self, done: int, total: int, loss: float) -> None:
        if done == self.epochs:
            raise KeyboardInterrupt


def test_runs_have_the_files_of_single_trainings(tmp_path, straight):
    runs, whole = prepared(tmp_path), []
    results = train_runs(runs, made=[True] * 3, completed=lambda run: whole.append((run.name, run.state)))
    assert [result.seed for result in results] == [0, 1, 2]
    assert [files_of(run) for run in runs] == [files_of(run) for run in straight]
    assert whole == [(run.name, "complete") for run in runs]
    assert sorted(path.name for path in runs[0].path.iterdir()) == sorted(p.name for p in straight[0].path.iterdir())


@pytest.mark.parametrize("stop", [1, 5, 11])
def test_an_interrupted_stack_goes_on_stacked_and_alone(tmp_path, straight, stop):
    runs = prepared(tmp_path)
    with pytest.raises(KeyboardInterrupt), watched_by(StopAfter(stop)):
        train_runs(runs, made=[True] * 3)
    epochs = [len(run.history()) for run in runs]
    assert sum(epochs) == stop
    assert all(run.state == "incomplete" or done == 4 for run, done in zip(runs, epochs, strict=True))
    train_run(next(run for run in prepared(tmp_path) if run.state != "complete"), device=CPU)  # one of them alone
    going = [run for run in prepared(tmp_path) if run.state != "complete"]
    train_runs(going, made=[False] * len(going))
    assert [files_of(run) for run in runs] == [files_of(run) for run in straight]


def test_resume_points_are_those_of_single_trainings(tmp_path):
    for name, stop, seeds in (("stack", 4, 2), ("alone", 2, 1)):
        runs = prepared(tmp_path / name, seeds)
        with pytest.raises(KeyboardInterrupt), watched_by(StopAfter(stop)):
            train_runs(runs, made=[True] * seeds)
    found, expected = (torch.load(tmp_path / name / "run-s0" / "resume.pt") for name in ("stack", "alone"))
    assert found.pop("seconds") > 0
    assert expected.pop("seconds") > 0
    assert found.keys() == expected.keys()
    assert (tmp_path / "stack/run-s0/resume.pt").stat().st_size == (tmp_path / "alone/run-s0/resume.pt").stat().st_size
    assert torch.equal(found["model"]["encoder.skip.real"], expected["model"]["encoder.skip.real"])


def test_a_mix_of_what_is_complete_begun_and_absent_is_completed(tmp_path, straight, capsys):
    """By the command: one run complete, one at epoch 3, one that is not there."""
    first, second = prepared(tmp_path, 2)
    train_run(first, device=CPU)
    with pytest.raises(KeyboardInterrupt), watched_by(StopAfter(3)):
        train_runs([second], made=[True])
    settings = [f"--set=training.{key}" for key in ("transitions=120", "epochs=4", "batch=50")]
    arguments = ["train", "--seeds", "0-2", "--name", "run", "--out", str(tmp_path), "--quiet", "--json", *settings]
    assert command_line([*arguments, "--resume"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [entry["seed"] for entry in printed] == [0, 1, 2]
    runs = [Run(tmp_path / f"run-s{seed}") for seed in range(3)]
    assert [files_of(run) for run in runs] == [files_of(run) for run in straight]
    assert all(run.summary.is_file() for run in runs[1:])


def test_one_that_diverges_ends_with_its_error_and_the_others_go_on(tmp_path, straight, monkeypatch):
    runs = prepared(tmp_path)
    begin = Training.__init__

    def spoiled(self, run, **options):
        begin(self, run, **options)
        if run.header.seed == 1:
            self.fit.columns[2][5] = float("nan")

    monkeypatch.setattr(Training, "__init__", spoiled)
    results = train_runs(runs, made=[True] * 3)
    assert isinstance(results[1], TrainingError)
    assert "diverged in epoch 1" in str(results[1])
    assert [run.state for run in runs] == ["complete", "incomplete", "complete"]
    assert [files_of(runs[seed]) for seed in (0, 2)] == [files_of(straight[seed]) for seed in (0, 2)]
    monkeypatch.undo()
    train_run(runs[1], device=CPU)  # it is free again
    assert files_of(runs[1]) == files_of(straight[1])


def test_a_run_in_use_or_damaged_is_refused_and_the_others_go_on(tmp_path, straight):
    runs = prepared(tmp_path)
    (runs[2].path / "resume.pt").write_bytes(b"nothing")
    with runs[1].lock():
        results = train_runs(runs, made=[False] * 3)
    assert files_of(runs[0]) == files_of(straight[0])
    assert [type(result) for result in results[1:]] == [RunError, RunError]
    assert "in use" in str(results[1])
    assert "damaged" in str(results[2])


def test_no_more_data_than_a_stack_may_hold_is_in_memory_at_once(tmp_path, straight, monkeypatch):
    monkeypatch.setattr(room, "STACKED_TRANSITIONS", 250)
    held: list[list[int]] = []
    build = stacking.build_stack

    def spy(fits):
        held.append([fit.seed for fit in fits])
        return build(fits)

    monkeypatch.setattr(together, "build_stack", spy)
    runs = prepared(tmp_path)
    train_runs(runs, made=[True] * 3)
    assert held[0] == [0, 1]
    assert held[-1] == [2]
    assert [files_of(run) for run in runs] == [files_of(run) for run in straight]


# Grids


def double(params):
    return {"twice": 2 * params["x"]}


def doubles(several):
    return [ValueError("odd") if params["x"] == 3 else {**double(params), "of": len(several)} for params in several]


def refuses(several):
    raise OSError(28, "No space left on device")


def test_a_grid_computes_its_stacks_and_keeps_cells(tmp_path):
    cells = [Cell(f"x={x}", {"x": x}) for x in range(6)]
    stacks = Stacks(lambda params: None if params["x"] == 5 else str(params["x"] % 2), doubles)
    results = run_grid(double, cells, tmp_path / "grid", stacks=stacks)
    assert [result.result for result in results] == [
        {"twice": 0, "of": 3}, {"twice": 2, "of": 2}, {"twice": 4, "of": 3}, None, {"twice": 8, "of": 3}, {"twice": 10}
    ]  # fmt: skip
    assert results[3].error.type == "ValueError"
    assert len(list((tmp_path / "grid/cells").iterdir())) == 6
    again = run_grid(double, cells, tmp_path / "grid", stacks=Stacks(lambda params: "one", refuses), resume=True)
    assert [result.result for result in again][:3] == [result.result for result in results][:3]
    assert again[3].result == {"twice": 6}  # the only one that was missing, alone


def test_stacks_are_split_for_jobs_and_no_further():
    stacks = Stacks(lambda params: str(params["x"]), doubles)

    def units(jobs: int, *groups: int) -> list[list[int]]:
        return stacks.units([(index, {"x": group}) for index, group in enumerate(groups)], jobs)

    assert units(1, 0, 0, 0, 0, 0) == [[0, 1, 2, 3, 4]]
    assert units(2, 0, 0, 0, 0, 0) == [[0, 1], [2, 3, 4]]
    assert units(8, 0, 0, 0) == [[0], [1], [2]]
    assert units(2, 0, 1, 0, 1) == [[0, 2], [1, 3]]


def test_stacks_are_no_larger_than_there_is_room_for():
    asked: list[list[dict]] = []

    def pairs(several):
        asked.append(list(several))
        return [[place for place in (first, first + 1) if place < len(several)] for first in range(0, len(several), 2)]

    stacks = Stacks(lambda params: params["of"], doubles, pairs)
    cells = [(index, {"of": of}) for index, of in ((7, "a"), (3, "b"), (4, None), (9, "a"), (1, "a"), (2, "b"))]
    assert stacks.units(cells, 1) == [[7, 9], [1], [3, 2], [4]]
    assert stacks.units(cells, 6) == [[7], [9, 1], [3], [2], [4]]
    assert asked == [[{"of": "a"}] * 3, [{"of": "b"}] * 2, [{"of": "a"}] * 2]


# A real process, struck by a real signal


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_struck_seeds_go_on_to_the_same_bits(tmp_path, blow):
    def arguments(folder: Path, *options: str) -> list[str]:
        settings = [f"--set=training.{key}" for key in ("transitions=120", "epochs=12", "batch=50")]
        return ["train", "--seeds", "0-1", "--name", "run", "--quiet", "--out", str(folder), *settings, *options]

    command = [sys.executable, "-c", "from equiwm.cli.main import main; main()", *arguments(tmp_path / "struck")]
    mark, deadline = tmp_path / "struck/run-s1/resume.pt", time.monotonic() + 60
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as process:
        while not mark.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(blow)
        _, err = process.communicate(timeout=60)
    assert process.returncode == (130 if blow == signal.SIGINT else -blow), err
    assert "Traceback" not in err
    assert {Run(tmp_path / f"struck/run-s{seed}").state for seed in (0, 1)} == {"incomplete"}
    assert command_line(arguments(tmp_path / "struck", "--resume")) == 0
    assert command_line(arguments(tmp_path / "straight")) == 0
    for seed in (0, 1):
        assert files_of(Run(tmp_path / f"struck/run-s{seed}")) == files_of(Run(tmp_path / f"straight/run-s{seed}"))
