"""`equiwm --version`: which version of what is installed here."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Annotated

import typer


def _show(wanted: bool) -> None:
    if wanted:
        ours, torch = metadata.version("equiwm"), metadata.version("torch")
        typer.echo(f"equiwm {ours} (torch {torch}, Python {platform.python_version()})")
        raise typer.Exit


def show_version(
    version: Annotated[
        bool, typer.Option("--version", callback=_show, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of `equiwm` itself."""
