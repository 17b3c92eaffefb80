"""What every evaluation does: load a run and perhaps a baseline, measure both the same way, write the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from equiwm.cli.options import Device, Dtype
from equiwm.cli.output import publish, require_writable, say
from equiwm.cli.progress import ProgressBars
from equiwm.errors import ConfigError
from equiwm.loading import load_run
from equiwm.results.result import Result
from equiwm.subject import Subject

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Measured(Generic[R]):
    """A measured run.

    Attributes:
        loaded: the run.
        result: of the run.
        entry: as it stands in metrics.json, the baseline's result under `baseline`.
        figures: folder for figures.
    """

    loaded: Subject
    result: R
    entry: dict[str, Any]
    figures: Path


def measure_sides(
    run: Path,
    baseline: Path | None,
    measure: Callable[[Subject, ProgressBars], R],
    *,
    section: str,
    variant: Callable[[R], str],
    dtype: Dtype,
    device: Device,
    out: Path | None,
    quiet: bool,
) -> Measured[R]:
    """Measure a run and its baseline, and publish the two as one entry of metrics.json.

    Args:
        run: directory of the run.
        baseline: directory of another, or None.
        measure: from a loaded run, and bars to show its progress on, to a result.
        section: of metrics.json.
        variant: key of a result among the section's variants.
        dtype: dtype to evaluate in.
        device: device to evaluate on.
        out: folder for metrics and figures instead of the run's own.
        quiet: no progress.

    Raises:
        RunError, ConfigError, DeviceError: no such run or device, a baseline of another world, or nowhere to write to;
            and what `measure` raises.
    """
    import torch

    from equiwm.devices import DTYPES, resolve_device

    torch.set_num_threads(1)
    place = resolve_device(device.value)
    loaded = load_run(run, DTYPES[dtype.value], place)
    other = load_run(baseline, DTYPES[dtype.value], place) if baseline else None
    if other is not None and other.world.name != loaded.world.name:
        raise ConfigError(
            f"--baseline {baseline}: it lives in the world '{other.world.name}', {run} in "
            f"'{loaded.world.name}'; a baseline is measured on the same world."
        )
    require_writable(loaded.stored, out)
    if loaded.notice:
        say(loaded.notice)
    with ProgressBars(quiet=quiet) as progress:
        result = measure(loaded, progress)
        beside = None if other is None else {**other.provenance(), **measure(other, progress).as_dict()}
    entry = publish(loaded.stored, section, variant(result), result, baseline=beside, out=out)
    return Measured(loaded, result, entry, (out or loaded.stored.path) / "figures")
