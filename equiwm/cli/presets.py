"""`equiwm presets`."""

from __future__ import annotations

from equiwm.cli.options import JsonOption


def presets(json: JsonOption = False) -> None:
    """List the presets, a line each.

    Example: equiwm presets
    """
    from equiwm.cli.output import print_json, print_tables
    from equiwm.config import load, preset_names
    from equiwm.report.table import Table

    configs = [load(name) for name in preset_names()]
    if json:
        print_json([config.as_dict() for config in configs])
        return
    rows = [(config.preset, config.description, config.baseline or "–") for config in configs]
    print_tables([Table("presets", ("preset", "what it is", "baseline"), rows)])
