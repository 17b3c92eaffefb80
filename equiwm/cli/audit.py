"""`equiwm audit`: a verdict on any network."""

from __future__ import annotations

import re
import shutil
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equiwm.cli.options import Device, JobsOption, JsonOption, SeedOption, TrustOption
from equiwm.errors import ConfigError

if TYPE_CHECKING:
    from equiwm.audit.probe import Probe
    from equiwm.audit.result import AuditResult

HELP = (
    "FILE.py:probe or module:probe, a Probe or a function that makes one; or the directory of a trained run; with "
    "--table a folder of such files"
)


class Expected(StrEnum):
    """The weakest verdict that passes."""

    exact = "exact"
    limited = "precision-limited"
    approximate = "approximate"


class Precision(StrEnum):
    """What the model is run in."""

    float32 = "float32"
    float64 = "float64"
    both = "both"


def audit(
    target: Annotated[str, typer.Argument(metavar="PROBE", help=HELP)],
    group: Annotated[str | None, typer.Option("--group", help=r"another group \[the probe's own]")] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=1, help=r"take the first so many \[all]")] = None,
    elements: Annotated[int, typer.Option("--elements", min=2, help="how many group elements")] = 64,
    expect: Annotated[
        Expected | None, typer.Option("--expect", help=r"exit with 1 where it is worse \[precision-limited]")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="show every layer and what it carries")] = False,
    symmetries: Annotated[bool, typer.Option("--symmetries", help="what else it carries, declared or not")] = False,
    seed: SeedOption = 1000,
    trust: TrustOption = None,
    json: JsonOption = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="write a page with figures and tables there")
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="climb the residual over elements and inputs")] = False,
    pair: Annotated[Path | None, typer.Option("--pair", help=r"file for --search's pair \[PROBE.pair.json]")] = None,
    dtype: Annotated[Precision, typer.Option("--dtype", help="both tells a break from rounding")] = Precision.both,
    device: Annotated[Device | None, typer.Option("--device", help=r"run there \[where the model is]")] = None,
    stress: Annotated[bool, typer.Option("--stress", help="planar, on an axis, dense, zero, ... inputs too")] = False,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="audit every probe file of a folder; write a table")
    ] = None,
    jobs: JobsOption = 1,
) -> None:
    """Is a network still equivariant, and what breaks it?

    Preflight, residual of every channel beside its rounding, a verdict, and the causes that experiments find. The
    network is left as it was found. Exits with 1 where the verdict is worse than --expect, which is precision-limited
    unless it is said otherwise.

    Examples: equiwm audit my_probe.py:probe ; equiwm audit my_package.probes:egnn --group o3 --expect exact ;
    equiwm audit runs/vn-2d ; equiwm audit my_probes/ --table networks.md
    """
    if table is not None:
        others = (json, layers, trust, html, search, pair, device, stress, dtype != Precision.both)
        _of_folder(target, table, group, samples, elements, expect, seed, jobs, more=any(map(bool, others)))
        return
    from equiwm.audit.audit import audit as audited
    from equiwm.audit.words import layer_table, passes, stress_table, symmetry_table, tables, text
    from equiwm.cli.output import print_json, print_tables, print_text
    from equiwm.devices import DTYPES, resolve_device
    from equiwm.disk.documents import require_document
    from equiwm.disk.strict_json import plain

    if jobs != 1:
        raise ConfigError("--jobs is how many probes of a folder are audited at a time: it goes with --table.")
    where = None if device is None else resolve_device(device.value)
    if html is not None:
        require_document(html)
    with redirect_stdout(sys.stderr):  # networks print, and stdout holds the result alone
        probe = _probe(target, trust or [])
        if group is not None:
            probe = replace(probe, group=group)
        if samples is not None:
            probe = _first(probe, samples)
        kept = (pair or _pair_file(target)) if search else None
        result = audited(
            probe,
            elements=elements,
            layers=layers,
            symmetries=symmetries,
            seed=seed,
            search=search,
            pair=kept,
            dtype=DTYPES.get(dtype.value),
            device=where,
            stress=stress,
        )
    if json:
        print_json(plain(result.as_dict()))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print_text(text(result, width) + "\n\n")
        shown = tables(result, target)
        shown += [layer_table(result, target)] if layers else []
        shown += [symmetry_table(result, target)] if symmetries else []
        shown += [stress_table(result, target)] if stress else []
        print_tables(shown)
    if html is not None:
        _write_page(result, target, html)
    if not passes(result.verdict, (expect or Expected.limited).value):
        raise typer.Exit(1)


def _write_page(result: AuditResult, target: str, path: Path) -> None:
    from equiwm.audit.html import page
    from equiwm.cli.output import say
    from equiwm.disk.documents import write_document

    write_document(path, page(result, target))
    say(f"page: {path}")


def _pair_file(target: str) -> Path:
    """Where a found pair goes unless it is said otherwise: the current folder, by the name of the probe."""
    name = "-".join(part for part in re.split(r"[^A-Za-z0-9_]+", target.replace(".py:", "-")) if part)
    return Path(f"{name[-100:] or 'probe'}.pair.json")


def _of_folder(
    folder: str,
    table: Path,
    group: str | None,
    samples: int | None,
    elements: int,
    expect: Expected | None,
    seed: int,
    jobs: int,
    *,
    more: bool,
) -> None:
    """Every probe of a folder.

    Raises:
        ConfigError: an option that says nothing of a folder.
        Exit: 1 where a probe could not be audited, or its verdict is worse than what was expected.
    """
    import shlex

    from equiwm.audit.words import passes
    from equiwm.cli.audit_folder import audit_folder

    if more:
        raise ConfigError(
            "--table writes a document of a folder: it goes with --group, --samples, --elements, --expect, --seed and "
            "--jobs alone."
        )
    given = {"--group": group, "--samples": samples}
    options = [word for name, value in given.items() if value is not None for word in (name, str(value))]
    options += ["--elements", str(elements), "--seed", str(seed)]
    command = shlex.join(["equiwm", "audit", folder, "--table", str(table), *options])
    entries = audit_folder(Path(folder), table, options, command, jobs)
    verdicts = [entry.result.verdict for entry in entries if entry.result is not None]
    worse = expect is not None and not all(passes(verdict, expect.value) for verdict in verdicts)
    if worse or any(entry.failure for entry in entries):
        raise typer.Exit(1)


def _probe(target: str, trust: list[str]) -> Probe:
    """The probe of a file, a module or a run.

    Raises:
        ConfigError: a file or module that cannot be imported, or what it has is no probe.
    """
    from equiwm.audit.probe import Probe
    from equiwm.foreign import called
    from equiwm.locate import locate, locate_in_file

    path, colon, name = target.rpartition(":")
    if not colon and target.endswith(".py") and Path(target).is_file():
        raise ConfigError(f"{target} is a file: name the probe in it, {target}:probe.")
    if Path(target).is_dir() or not colon:
        return _of_run(Path(target), trust)
    found: Any = locate_in_file(Path(path), name) if path.endswith(".py") else locate("probe", target)
    if not isinstance(found, Probe) and callable(found):
        found = called(found, f"{target}")
    if not isinstance(found, Probe):
        raise ConfigError(f"{target}: got {type(found).__name__}, expected a Probe or a function that makes one.")
    return found


def _of_run(path: Path, trust: list[str]) -> Probe:
    """A run's whole model, F(s, a) = f(E(s), a), on held-out transitions, as `verify-equivariance` takes it; or the
    policy that it is, pi(s, s*)."""
    import torch

    from equiwm.audit.pooled import SAMPLES
    from equiwm.claims.probe import PROBE_SEED, held_out
    from equiwm.claims.residual.probes import acting_probe, composed_probe
    from equiwm.loading import load_run

    subject = load_run(path, torch.float64, trust=trust)
    data = held_out(subject, SAMPLES, PROBE_SEED).to(subject.dtype, subject.device)
    if subject.policy is not None:
        return acting_probe(subject.policy, data, subject.world.group)
    return composed_probe(subject.model, data, subject.group)


def _first(probe: Probe, samples: int) -> Probe:
    """The first samples of a probe, of a list or along the first axis of a batch.

    Raises:
        ConfigError: a batch that has no common first axis.
    """
    from equiwm.audit.pytree import is_array, leaves, replaced

    if isinstance(probe.inputs, list):
        return replace(probe, inputs=probe.inputs[:samples])
    arrays = {path: leaf for path, leaf in leaves(probe.inputs).items() if is_array(leaf) and leaf.ndim}
    if len({len(leaf) for leaf in arrays.values()}) != 1:
        raise ConfigError("--samples: the inputs are one structure, not a batch along the first axis.")
    return replace(probe, inputs=replaced(probe.inputs, {path: leaf[:samples] for path, leaf in arrays.items()}))
