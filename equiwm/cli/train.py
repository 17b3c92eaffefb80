"""`equiwm train`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from equiwm.cli.options import (
    Device,
    DeviceOption,
    JobsOption,
    JsonOption,
    QuietOption,
    SetOption,
    parse_seeds,
)
from equiwm.config import Config, preset_names
from equiwm.layout.header import MAX_SEED


def train(
    preset: Annotated[
        str,
        typer.Option("--preset", help="what to train; see `equiwm presets`", autocompletion=preset_names),
    ] = "vn-2d",
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=MAX_SEED, help="seeds everything: data, weights, order")
    ] = 0,
    seeds: Annotated[str | None, typer.Option("--seeds", help="train several seeds, as 0-4 or 0,2,7")] = None,
    jobs: JobsOption = 1,
    name: Annotated[str | None, typer.Option("--name", help="name of the run [PRESET, or PRESET-sSEED]")] = None,
    out: Annotated[Path, typer.Option("--out", help="folder that holds runs")] = Path("runs"),
    file: Annotated[
        Path | None, typer.Option("--config", help="YAML file whose sections override the preset's")
    ] = None,
    assignments: SetOption = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            help="build the model for this group: so2z, o3, ...; or discovered, what discover finds in the world "
            r"\[the world's own]",
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    resume: Annotated[bool, typer.Option("--resume", help="go on with a run that was interrupted")] = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="of recorded episodes, leave out those that cannot be read")
    ] = False,
    tracker: Annotated[
        str | None, typer.Option("--tracker", help="tell tensorboard, wandb or module:name of it as well")
    ] = None,
) -> None:
    """Train a preset into a run directory.

    Examples: equiwm train --preset vn-2d --seed 1 ;
    equiwm train --preset mlp-2d --seeds 0-4 --jobs 2 ;
    equiwm train --preset vn-data --set world.path=episodes/ ;
    equiwm train --preset vn-field-3d --group discovered ;
    equiwm train --set training.epochs=10 --name short
    """
    from equiwm.cli.output import say
    from equiwm.config import load
    from equiwm.devices import resolve_device
    from equiwm.errors import ConfigError

    given = [*(assignments or []), *(["world.skip_bad=true"] if skip_bad else [])]
    config = load(preset, file, given)
    config = _settled(config if group is None else _of_group(config, group))
    place = resolve_device(device.value)
    if seeds is None:
        _train_one(config, seed, name, out, place.type, tracker, resume=resume, quiet=quiet, json=json)
        return
    if seed:
        raise ConfigError("give --seed or --seeds, not both.")
    if place.type != "cpu":
        say("several seeds train on the CPU, one process each.")
    _train_several(config, parse_seeds(seeds), jobs, name, out, tracker, resume=resume, quiet=quiet, json=json)


def _of_group(config: Config, group: str) -> Config:
    """The configuration with its model built for a group, which it names from then on; what was found is said."""
    from equiwm.cli.output import say
    from equiwm.evidence.algebra.discover import SEED
    from equiwm.evidence.algebra.exploit import DISCOVERED, exploited, with_group

    if group != DISCOVERED:
        return with_group(config, group)
    found = exploited(config, SEED)
    say(found.said)
    return found.config


def _settled(config: Config) -> Config:
    """The configuration as a run keeps it; what a log had to say is said."""
    from dataclasses import replace

    from equiwm.cli.output import say

    def shows(logs: Any, group: Any) -> tuple[bool, str]:
        from equiwm.evidence.data.settle import shows

        return shows(logs, group)

    world, said = config.world.settled(shows)
    for line in said:
        say(line)
    return replace(config, world=world)


def _train_one(
    config: Config,
    seed: int,
    name: str | None,
    out: Path,
    device: str,
    tracker: str | None,
    *,
    resume: bool,
    quiet: bool,
    json: bool,
) -> None:
    import torch

    from equiwm.claims.training.claim import CLAIM
    from equiwm.cli.output import print_json, print_tables, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.errors import RunError
    from equiwm.report.summary import write_summary
    from equiwm.runs import Run, run_name
    from equiwm.training.run import prepare_run, refused_whole, train_run
    from equiwm.training.trackers import build_tracker

    # These tensors are small: two threads are slower than one, and far noisier.
    torch.set_num_threads(1)
    command = ["equiwm", *sys.argv[1:]]
    name = name or run_name(config.preset, seed)
    watched = None if tracker is None else build_tracker(tracker, out / name, say)
    made = Run(out / name).state == "absent"
    run = prepare_run(config, out, name, seed=seed, resume=resume, command=command)
    complete = run.state == "complete"
    if complete:
        say(f"{run.path} is complete; nothing to do.")
    else:
        with ProgressBars(quiet=quiet) as progress, refused_whole(run, made=made):
            train_run(run, device=torch.device(device), progress=progress, tracker=watched, completed=write_summary)
    metrics = run.metrics()
    if "train" not in metrics:
        raise RunError(f"{run.metrics_path} has lost its section 'train': restore it, or train under another --name.")
    measured = CLAIM.read(metrics["train"], f"{run.metrics_path}: train")
    if not run.summary.is_file():  # a kill came before it
        write_summary(run)
    if json:
        print_json(metrics["train"])
    else:
        print_tables(CLAIM.shown.tables_of(measured, run.name))
        say(f"run: {run.path}")


def _train_several(
    config: Config,
    seeds: list[int],
    jobs: int,
    name: str | None,
    out: Path,
    tracker: str | None,
    *,
    resume: bool,
    quiet: bool,
    json: bool,
) -> None:
    from equiwm.claims.training.claim import CLAIM
    from equiwm.claims.training.view import seeds_table
    from equiwm.cli.output import print_json, print_tables, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.errors import TrainingError
    from equiwm.grid import Cell, CellResult, Stacks, run_grid
    from equiwm.report.summary import write_summary
    from equiwm.runs import Run, run_name
    from equiwm.training.run import check_run, prepare_run
    from equiwm.training.together import watched_by
    from equiwm.training.trackers import build_tracker

    names = {seed: f"{name}-s{seed}" if name else run_name(config.preset, seed) for seed in seeds}
    command = ["equiwm", *sys.argv[1:]]
    if tracker is not None:
        build_tracker(tracker, out / names[seeds[0]], say)
    for seed in seeds:  # every refusal comes before anything is written
        check_run(config, out, names[seed], seed=seed, resume=resume)
    made = {seed: Run(out / names[seed]).state == "absent" for seed in seeds}
    for seed in seeds:
        prepare_run(config, out, names[seed], seed=seed, resume=resume, command=command)
    cells = [
        Cell(f"seed={seed}", {"run": str(out / names[seed]), "made": made[seed], "tracker": tracker}) for seed in seeds
    ]
    with ProgressBars(quiet=quiet) as progress:

        def finished(done: int, total: int, cells: Sequence[CellResult]) -> None:
            progress.count("seeds", done, total)
            for run in (Run(Path(cell.cell.params["run"])) for cell in cells if not cell.error):
                if not run.summary.is_file():  # a kill came before it
                    write_summary(run)

        # The run directories are the lasting store, and each is resumable by itself.
        with watched_by(progress):
            results = run_grid(
                train_cell, cells, None, jobs=jobs, progress=finished, stacks=Stacks(lambda params: "all", train_cells)
            )
    entries = [cell.result for cell in results if cell.result is not None]
    if json:
        print_json(entries)
    elif entries:
        print_tables([seeds_table([CLAIM.read(entry).result for entry in entries], config.preset)])
    failed = [f"{cell.cell.key}: {cell.error.message}" for cell in results if cell.error]
    if failed:
        raise TrainingError(f"{len(failed)} of {len(seeds)} seeds failed: " + "; ".join(failed))


def train_cell(params: dict[str, Any]) -> dict[str, Any]:
    """`training.cells.train_cell`; the run's summary is written before the run is let go."""
    from equiwm.report.summary import write_summary
    from equiwm.training import cells

    return cells.train_cell(params, completed=write_summary)


def train_cells(several: list[dict[str, Any]]) -> list[dict[str, Any] | BaseException]:
    """`training.cells.train_cells`, likewise."""
    from equiwm.report.summary import write_summary
    from equiwm.training import cells

    return cells.train_cells(several, completed=write_summary)
