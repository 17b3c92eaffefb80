"""The finished cells of a run: each is the one that its file is called by, and belongs to its grid."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from equiwm.disk.drafts import is_stale
from equiwm.disk.locks import is_held
from equiwm.disk.ownership import marker_of
from equiwm.errors import EquiwmError
from equiwm.grid import read_cell, read_definition, stored_seconds

STUDY_CELLS = "cells"


def wrong_cells(run: Path) -> Iterator[str]:
    """What is wrong with the grids that stand in a run, a line each; one that is being computed is passed over."""
    places = [run / STUDY_CELLS]
    places += [path for path in sorted(run.iterdir()) if path.name != STUDY_CELLS and marker_of(path) == "stores"]
    for top in places:
        if top.is_symlink():
            yield _link(top)
            continue
        for place, folders, files in os.walk(top):
            here = Path(place)
            folders[:] = sorted(name for name in folders if not is_stale(name))
            yield from (_link(here / name) for name in folders if (here / name).is_symlink())
            if "grid.json" in files and not is_held(here / ".lock"):
                yield from _wrong_in(here)


def _link(path: Path) -> str:
    return f"{path} is a link, which is not followed; put the folder itself in its place."


def _wrong_in(store: Path) -> Iterator[str]:
    try:
        wanted = set(read_definition(store / "grid.json")["cells"])
        stored_seconds(store)
    except EquiwmError as error:
        yield str(error)
        return
    folder = store / "cells"
    for path in sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []:
        if path.suffix == ".json" and path.stem in wanted:
            try:
                read_cell(path)
            except EquiwmError as error:
                yield str(error)
        elif not is_stale(path.name):
            yield f"{path} is no cell of {store / 'grid.json'}; move it away."
