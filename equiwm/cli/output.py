"""What a command prints: tables for people, Markdown on a pipe, JSON for programs; results on stdout alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from equiwm.claims.claim import AnyClaim
from equiwm.claims.registry import built_in
from equiwm.cli.streams import writing
from equiwm.disk.strict_json import plain
from equiwm.errors import RunError
from equiwm.printable import printable
from equiwm.results.measured import Measured, to_builtins
from equiwm.results.result import Result
from equiwm.runs import Run

if TYPE_CHECKING:
    from equiwm.tables.table import Table


def say(message: str) -> None:
    """A line for the user, beside the results: on stderr; on a terminal wrapped between words."""
    text = printable(message)
    if sys.stderr.isatty():
        text = "\n".join(map(_wrapped, text.split("\n")))
    with writing(sys.stderr):
        print(text, file=sys.stderr, flush=True)


_COMMAND = re.compile(r"(?<!\w)equiwm \S")


def _wrapped(line: str) -> str:
    """A line with no word broken by the end of the terminal; one that holds a command stays whole, to be copied."""
    width = shutil.get_terminal_size().columns
    if len(line) <= width or _COMMAND.search(line):
        return line
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False, drop_whitespace=True)


def print_tables(tables: Sequence[Table], stream: TextIO | None = None) -> None:
    """Rich tables on a terminal, Markdown elsewhere; on stdout unless another stream is given."""
    stream = stream or sys.stdout
    if stream.isatty():
        from rich.console import Console

        from equiwm.tables.terminal import on_terminal

        console = Console(file=stream)
        with writing(stream):
            for part in (part for table in tables for part in on_terminal(table, console.width)):
                console.print(part, crop=False)  # nothing is lost where a single name is wider
    else:
        print_text("\n".join(table.markdown() for table in tables), stream)


def print_text(text: str, stream: TextIO | None = None) -> None:
    """Text as it is."""
    stream = stream or sys.stdout
    with writing(stream):
        print(text, end="", file=stream, flush=True)


def print_json(data: Any) -> None:
    """Strict JSON: non-finite numbers are null."""
    with writing(sys.stdout):
        print(json.dumps(plain(data), indent=2), flush=True)


def require_writable(run: Run, out: Path | None) -> None:
    """Refuse before the work, not after it, when the result could not be written.

    Raises:
        RunError: the run, or the folder `out`, cannot be written to.
    """
    folder = (out or run.path).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise RunError(f"cannot write into {folder}; pass --out with a folder for metrics and figures.")


def publish(run: Run, claim: AnyClaim, measured: Measured[Result], *, out: Path | None) -> dict[str, Any]:
    """Write what was measured into the run, or into `out`, and bring the run's summary up to date.

    Returns:
        What was written: the entry, which another process may have overwritten since.
    """
    from equiwm.report.summary import write_summary

    entry = to_builtins(measured)
    metrics = run.record(claim.name, measured.result.variant or None, entry, out=out)
    if out is None:
        write_summary(run, None if not claim.source else (*built_in(), claim), metrics)
    return entry
