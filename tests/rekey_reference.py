"""Carry the reference over to configurations that have got settings since: `python tests/rekey_reference.py FOLDER`.

A cell is called by a hash of its parameters, the configuration among them, so that `reproduce --resume` refuses a study
whose configurations lack a setting of today that is not declared `later`. Where all of these stand at their defaults,
which is what the study was made with, its cells are today's: they are renamed, and nothing is computed. Anything else
that differs is refused. What today's claims need beside them is left for `reproduce --resume`, which computes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from equiwm.claims.reproduce.plan import plan, study_config
from equiwm.claims.reproduce.registry import parse_claims, resolve_size
from equiwm.claims.reproduce.study import _stores
from equiwm.config import parse
from equiwm.disk.files import write_atomic
from equiwm.disk.strict_json import canonical_json
from equiwm.grid import Cell
from equiwm.runs import Run

CONFIGURATIONS = ("config", "free")


def up_to_date(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a cell as today has them: what its configurations lack is at its default."""
    return {
        key: parse(value).as_params() if key in CONFIGURATIONS and value else value for key, value in params.items()
    }


def rekey(store: Path, cells: list[Cell]) -> int:
    """Rename the files of a store after today's cells; how many had another name.

    Raises:
        ValueError: a cell differs in more than settings that came since.
    """
    files = {json.loads(path.read_text())["key"]: path for path in (store / "cells").glob("*.json")}
    seconds = json.loads((store / "seconds.json").read_text())
    renamed = 0
    for cell in cells:
        if cell.key not in files:
            continue
        path = files[cell.key]
        record, params = json.loads(path.read_text()), json.loads(json.dumps(dict(cell.params)))
        if up_to_date(record["params"]) != params:
            raise ValueError(f"{path}: it was computed with other parameters")
        if path.stem != cell.id:
            write_atomic(
                store / "cells" / f"{cell.id}.json", canonical_json({**record, "params": params}, indent=2) + "\n"
            )
            path.unlink()
            seconds[cell.id] = seconds.pop(path.stem)
            renamed += 1
    grid = json.loads((store / "grid.json").read_text()) | {"cells": sorted(cell.id for cell in cells)}
    write_atomic(store / "grid.json", canonical_json(grid, indent=2) + "\n")
    write_atomic(store / "seconds.json", canonical_json(seconds, indent=2) + "\n")
    return renamed


def main(folder: Path) -> None:
    """Every store of a full reproduction, and its configuration."""
    size = resolve_size(None, quick=False)
    parts = plan(parse_claims([]), size)
    pairs = [pair for part in parts for pair in zip(_stores(Run(folder), part), part.batches, strict=True)]
    stored = [(store, batch.cells) for store, batch in pairs if batch.cells and store.is_dir()]
    print(sum(rekey(store, cells) for store, cells in stored), "cells renamed")
    config = folder / "config.yaml"
    write_atomic(
        config, yaml.safe_dump(yaml.safe_load(config.read_text()) | study_config(parts, size), sort_keys=False)
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
