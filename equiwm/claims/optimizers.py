"""Claim A, per optimiser: the symmetry belongs to the layers, so it survives whatever trains them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from equiwm.claims.ablation.arms import with_optimizer
from equiwm.claims.probe import fitting_group
from equiwm.claims.residual.measure import verify
from equiwm.claims.residual.result import OptimizerRow, OptimizerStudy
from equiwm.claims.study import compute_cells, open_study
from equiwm.claims.training.claim import trained
from equiwm.config import parse
from equiwm.errors import ConfigError, nearest
from equiwm.grid import Cell
from equiwm.loading import load_run
from equiwm.locate import BUILT_IN
from equiwm.results.door import read
from equiwm.runs import STUDY_RUNS, Run
from equiwm.training.cells import complete_run


def parse_optimizers(text: str) -> list[str]:
    """Optimiser names from `all` or `adam,sgd`.

    Raises:
        ConfigError: an unknown name.
    """
    known = {name: name for name in BUILT_IN["optimizer"]}
    asked = list(known) if text == "all" else [part.strip() for part in text.split(",")]
    for name in asked:
        if name not in known:
            raise ConfigError(f"unknown optimizer '{name}' in --optimizers: {nearest(name, [*known, 'all'])}")
    return [known[name] for name in dict.fromkeys(asked)]


def probe_run(run: Run, *, group: str | None, samples: int, tolerance: float | None, seed: int) -> OptimizerRow:
    """Residuals of a run at initialisation and as trained, in float32 and float64; the arguments are `verify`'s."""
    training = trained(run)
    single, double = (
        verify(load_run(run.path, dtype), group=group, samples=samples, tolerance=tolerance, seed=seed)
        for dtype in (torch.float32, torch.float64)
    )
    return OptimizerRow(
        optimizer=run.config.training.optimizer,
        initial=single.initial,
        float32=single.trained.composed,
        float64=double.trained.composed,
        max_abs=single.trained.max_abs,
        loss_ratio=training.final_loss / training.first_loss,
        weights_moved=single.weights_moved,
        latent_std=single.latent_std,
        effective_rank=single.effective_rank,
        control=single.control.composed,
        verdict=single.verdict if single.verdict == double.verdict else f"{single.verdict} / {double.verdict}",
        passed=single.passed and double.passed,
    )


def optimizer_cell(params: dict[str, Any], root: Path) -> dict[str, Any]:
    """Train one configuration under one optimiser in the study `root` and probe it; gives an `OptimizerRow`."""
    config = parse(params["config"])
    run = complete_run(config, root / STUDY_RUNS, config.training.optimizer, seed=params["train_seed"])
    probe = {key: params[key] for key in ("group", "samples", "tolerance", "seed")}
    return probe_run(run, **probe).as_dict()


def optimizer_study(
    path: Path,
    optimizers: str,
    *,
    group: str | None,
    samples: int,
    tolerance: float | None,
    seed: int,
    jobs: int,
    out: Path | None,
    resume: bool,
    command: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Run, OptimizerStudy]:
    """Retrain a run's configuration under several optimisers and tabulate the residuals, as a study directory.

    Args:
        path: the run whose configuration and seed are taken.
        optimizers: `all` or names.
        group: name of the group; None is the world's.
        samples: group elements.
        tolerance: bound on residuals; None is the dtype's.
        seed: seed of probe data.
        jobs: processes.
        out: folder that gets the study; None is the run's own folder of runs.
        resume: go on with a study that is there.
        command: the command line, for the study's config.
        progress: called with (cells done, cells).

    Raises:
        ConfigError: an unknown optimiser.
        GroupError: a group that does not fit the run's world.
        RunError: the study exists and `resume` is not set, or it is another one.
    """
    names = parse_optimizers(optimizers)
    loaded = load_run(path)
    chosen = fitting_group(loaded, group)
    configs = {name: with_optimizer(loaded.stored.config, name) for name in names}
    study_config = {
        **loaded.stored.config.as_dict(),
        "study": {
            "claim": "optimizers",
            "optimizers": names,
            "group": chosen.name,
            "samples": samples,
            "probe_seed": seed,
        },
    }
    own = loaded.stored.path if loaded.stored.path.name not in ("", "..") else loaded.stored.path.resolve()
    folder, name = out or own.parent, f"{loaded.stored.name}-optimizers"
    study = open_study(folder, name, study_config, seed=loaded.seed, resume=resume, command=command)
    cells = [
        Cell(
            f"optimizer={name}",
            {
                "config": config.as_params(),
                "train_seed": loaded.seed,
                "group": chosen.name,
                "samples": samples,
                "tolerance": tolerance,
                "seed": seed,
            },
        )
        for name, config in configs.items()
    ]
    results = compute_cells(
        optimizer_cell,
        cells,
        study.path / "cells",
        lambda cell: 1.0,
        jobs=jobs,
        resume=resume,
        progress=lambda done, total, _: progress(done, total) if progress else None,
        root=study.path,
    )
    rows = [read(OptimizerRow, cell.result, cell.cell.key) for cell in results if cell.result is not None]
    failed = [f"{cell.cell.key}: {cell.error.message}" for cell in results if cell.error]
    passed = not failed and all(row.passed for row in rows)
    return study, OptimizerStudy(group=chosen.name, samples=samples, rows=rows, failed=failed, passed=passed, seed=seed)
