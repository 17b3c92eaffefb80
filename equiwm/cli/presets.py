"""`equiwm presets`."""

from __future__ import annotations

from typing import Annotated

import typer

from equiwm.cli.options import JsonOption


def presets(
    name: Annotated[
        str | None, typer.Argument(metavar="[PRESET]", help=r"show this one's settings \[list all]")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the presets, a line each; or every setting of one, as --set takes them.

    Examples: equiwm presets ; equiwm presets vn-2d
    """
    from equiwm.cli.output import print_json, print_tables
    from equiwm.config import load, preset_names, settings
    from equiwm.tables.table import Table

    if name is not None:
        config = load(name)
        if json:
            print_json(config.as_dict())
        else:
            rows = [(key, str(value), meaning) for key, value, meaning in settings(config)]
            print_tables([Table(f"{name}: {config.description}", ("setting", "value", "what it is"), rows)])
        return
    configs = [load(known) for known in preset_names()]
    if json:
        print_json([config.as_dict() for config in configs])
        return
    rows = [(config.preset, config.description, config.baseline or "–") for config in configs]
    print_tables([Table("presets", ("preset", "what it is", "baseline"), rows)])
