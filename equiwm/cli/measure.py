"""The measuring commands, each made from a claim's own options by one builder; and `equiwm measure` for any claim."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equiwm.claims.claim import AnyClaim, Option, Recorded
from equiwm.cli.options import (
    Device,
    DeviceOption,
    Dtype,
    DtypeOption,
    JsonOption,
    OutOption,
    QuietOption,
    RunArgument,
    SeedOption,
    TrustOption,
)
from equiwm.errors import ConfigError
from equiwm.printable import quoted

if TYPE_CHECKING:
    from equiwm.claims.store import Stores
    from equiwm.cli.progress import ProgressBars
    from equiwm.subject import Subject

PROBE_SEED = 1000
BaselineOption = Annotated[Path | None, typer.Option("--baseline", metavar="RUN", help="a run to measure beside it")]


@dataclass(frozen=True)
class Shared:
    """What every measuring command is told.

    Attributes:
        run: directory of the run.
        baseline: directory of another, or None.
        dtype: to evaluate in.
        device: to evaluate on.
        seed: of probe data and tasks.
        out: folder for metrics and figures instead of the run's own.
        trust: modules from outside this package that the runs may name.
        expect: whether a result out of bounds exits with 1.
        quiet: no progress.
        json: print the result as JSON.
    """

    run: Path
    baseline: Path | None
    dtype: Dtype
    device: Device
    seed: int
    out: Path | None
    trust: list[str] | None
    expect: bool
    quiet: bool
    json: bool


def measuring_command(
    claim: AnyClaim,
    extra: Sequence[Option] = (),
    instead: Callable[[Shared, Mapping[str, Any], frozenset[str]], bool] | None = None,
) -> Callable[..., None]:
    """The command of a claim, for typer: its own options, then those that all have.

    Args:
        claim: the claim.
        extra: options that are not the measure's.
        instead: takes all options, those of `extra` as well, and the names of what the command line gives; says
            whether it has done what was asked for.
    """
    options = (*claim.options, *extra)

    def command(**given: Any) -> None:
        context = given.pop("context", None)
        asked = {option.name: given.pop(option.name) for option in options}
        own = {option.name: _parsed(option, asked[option.name]) for option in options}
        expect = given.pop("expect_invariant", not claim.expectation)
        shared = Shared(**given, expect=expect)
        if instead is None or not instead(shared, own, _given(context)):
            run_claim(claim, shared, {option.name: own[option.name] for option in claim.options}, asked)

    required = inspect.Parameter.empty
    parameters: list[tuple[str, Any, Any]] = [("run", RunArgument, required)]
    if instead is not None:
        parameters.insert(0, ("context", typer.Context, required))
    parameters += [_parameter(option) for option in options]
    parameters += [("baseline", BaselineOption, None), ("dtype", DtypeOption, Dtype(claim.dtype))]
    if claim.expectation:
        expected = Annotated[bool, typer.Option("--expect-invariant", help=claim.expectation)]
        parameters.append(("expect_invariant", expected, False))
    parameters += [
        ("seed", SeedOption, PROBE_SEED),
        ("device", DeviceOption, Device(claim.device)),
        ("out", OutOption, None),
        ("trust", TrustOption, None),
        ("quiet", QuietOption, False),
        ("json", JsonOption, False),
    ]
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, annotation, default in parameters
        ]
    )
    command.__annotations__ = {name: annotation for name, annotation, _ in parameters}
    command.__doc__ = claim.help
    return command


def _given(context: typer.Context) -> frozenset[str]:
    """Names of the options that the command line gives, and that do not have their defaults."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE")


def _parameter(option: Option) -> tuple[str, Any, Any]:
    """Name, annotation and default of a claim's option as typer takes them."""
    kind: Any = option.kind if option.default is not None else option.kind | None
    asked = typer.Option(option.option, metavar=option.metavar, help=option.help, min=option.low, max=option.high)
    return option.name, Annotated[kind, asked], option.default


def _parsed(option: Option, value: object) -> object:
    """A value as the measure takes it.

    Raises:
        ConfigError: a number of 2^31 and more, or none that is finite; or what the option's own parser refuses.
    """
    if isinstance(value, int) and abs(value) >= 2**31:
        raise ConfigError(f"{option.option}: got {quoted(value)}, expected less than 2^31 ({2**31:,}).")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{option.option}: got {value}, expected a finite number.")
    if value is None or option.parse is None:
        return value.value if isinstance(value, StrEnum) else value
    return option.parse(value)


def run_claim(claim: AnyClaim, shared: Shared, own: Mapping[str, object], asked: Mapping[str, object]) -> None:
    """Load a run and perhaps a baseline, measure both the same way, write the result, show it.

    Args:
        claim: the claim.
        shared: what every measuring command is told.
        own: the claim's options, as its measure takes them.
        asked: the same as the command line has them.

    Raises:
        RunError, ConfigError, DeviceError: no such run or device, a baseline of another world, or nowhere to write to.
        ResultError: the measure's result does not fit the claim; nothing was written.
        typer.Exit: with 1, where the result is out of bounds and was expected within; and what the measure raises.
    """
    import torch

    from equiwm.claims.store import Stores
    from equiwm.claims.view import Shown
    from equiwm.cli.output import print_json, print_tables, publish, require_writable, say
    from equiwm.cli.progress import ProgressBars
    from equiwm.devices import DTYPES, resolve_device
    from equiwm.loading import load_run
    from equiwm.results.measured import Baseline, Measured, Provenance

    torch.set_num_threads(1)
    place = resolve_device(shared.device.value)
    dtype, trust = DTYPES[shared.dtype.value], shared.trust or ()
    subject = load_run(shared.run, dtype, place, trust=trust)
    other = load_run(shared.baseline, dtype, place, trust=trust) if shared.baseline else None
    if other is not None and other.world.name != subject.world.name:
        raise ConfigError(
            f"--baseline {shared.baseline}: it lives in the world '{other.world.name}', {shared.run} in "
            f"'{subject.world.name}'; a baseline is measured on the same world."
        )
    require_writable(subject.stored, shared.out)
    if subject.notice:
        say(subject.notice)
    with Stores((shared.out or subject.stored.path) / claim.name) as stores:
        with ProgressBars(quiet=shared.quiet) as progress:
            result, *recorded = _measure(claim, subject, own, asked, shared.seed, stores, progress)
            beside = None
            if other is not None:
                alone = {option.name: option.default for option in claim.options if option.run_alone}
                theirs, *also = _measure(
                    claim, other, {**own, **alone}, {**asked, **alone}, shared.seed, stores, progress
                )
                recorded += also
                beside = Baseline(Provenance(**other.provenance()), theirs)
        measured, name = Measured(result, beside, subject.checkpoint_sha256), subject.name
        with claim.guard("table"):
            tables = claim.shown.tables_of(measured, name)
        with claim.guard("bounds"):
            broken = claim.broken(result) if shared.expect else None
        entry = publish(subject.stored, claim, measured, out=shared.out)
        figures = (shared.out or subject.stored.path) / "figures"
        recordings = dict(zip(measured.sides(name), recorded, strict=False))
        with claim.guard("figure"):
            drawings = claim.shown.drawings_of(Shown(measured, name, figures, recordings))
            drawn = [drawing.draw(figures) for drawing in drawings]
        for left in stores.remove():  # everything is in metrics and figures now
            say(f"could not be removed, and is no longer needed: {left}")
    if shared.json:
        print_json(entry)
    else:
        print_tables(tables)
        for figure in drawn:
            say(f"figure: {figure}")
    if broken is not None:
        if claim.expectation or claim.source:  # else the table says it
            say(broken)
        raise typer.Exit(1)


def _measure(
    claim: AnyClaim,
    subject: Subject,
    own: Mapping[str, object],
    asked: Mapping[str, object],
    seed: int,
    stores: Stores,
    progress: ProgressBars,
) -> list[Any]:
    """The result of one run, checked, and after it what was recorded, if anything was."""
    with claim.guard("measure"):
        measure = claim.measured
        taken = inspect.signature(measure).parameters
    offered: dict[str, object] = {
        "seed": seed,
        "progress": lambda done, total: progress.count(subject.path, done, total),
    }
    if "store" in taken:
        offered["store"] = stores.open(_definition(claim, subject, asked, seed))
    with claim.guard("measure"):
        found = measure(subject, **own, **{key: value for key, value in offered.items() if key in taken})
    if isinstance(found, Recorded):
        return [claim.check(found.result), found.recording]
    return [claim.check(found)]


def _definition(claim: AnyClaim, subject: Subject, asked: Mapping[str, object], seed: int) -> dict[str, Any]:
    """All that the finished work of an invocation depends on."""
    beside = {option.name for option in claim.options if option.beside}
    return {
        "claim": claim.source or claim.name,
        "run": str(subject.stored.path.resolve()),
        "checkpoint": subject.checkpoint_sha256,
        "dtype": str(subject.dtype),
        "device": str(subject.device),
        "seed": seed,
        "options": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asked.items()
            if name not in beside
        },
    }


def measure(
    context: typer.Context,
    claim: Annotated[
        str, typer.Argument(metavar="CLAIM", help="name of an installed claim, or module:name of a claim in a file")
    ],
) -> None:
    """Measure any claim on a run: one of an installed package, or one in a module of your own.

    What follows the claim are its options; `equiwm measure CLAIM --help` lists them.

    Example: equiwm measure my_claims:DRIFT runs/vn-2d --json
    """
    from equiwm.claims.registry import find

    if claim == "--help":  # it is taken for a claim, so that `--help` after one lists that one's options
        typer.echo(context.get_help())
        return
    found = find(claim)
    if not found.measure:
        raise ConfigError(f"claim '{claim}' is not measured by a command of its own.")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(measuring_command(found))
    status = app(args=context.args, prog_name=f"equiwm measure {claim}", standalone_mode=False)
    if status:
        raise typer.Exit(status)
