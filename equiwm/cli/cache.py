"""`equiwm cache`."""

from __future__ import annotations

from typing import Annotated

import typer

from equiwm.cli.options import JsonOption


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="remove every entry; nothing else in the folder")] = False,
    limit: Annotated[
        str | None,
        typer.Option("--limit", metavar="SIZE", help="remove what was not used for longest, until SIZE (2GB) is kept"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the data that are kept for other commands: what, its size, and when it was last used.

    Data of a training that take longer than some seconds to make are kept in $EQUIWM_CACHE, by default
    ~/.cache/equiwm; EQUIWM_CACHE=off keeps none. At most $EQUIWM_CACHE_LIMIT (5GB) is kept.

    Examples: equiwm cache ;
    equiwm cache --limit 500MB ;
    equiwm cache --clear
    """
    from equiwm.cli.output import print_json, print_tables, say
    from equiwm.disk.cache import OFF, VARIABLE, Cache, cache_folder, cache_limit, parse_size
    from equiwm.errors import ConfigError, RunError
    from equiwm.tables.table import Table

    if clear and limit is not None:
        raise ConfigError("give --clear or --limit, not both.")
    folder, bound = cache_folder(), cache_limit() if limit is None else parse_size(limit, "--limit")
    if folder is None:
        raise ConfigError(f"there is no cache: {VARIABLE} is {OFF}; unset it, or name a folder.")
    found = Cache(folder, bound)
    removed = found.shrink(0 if clear else bound) if clear or limit is not None else []
    kept = found.entries()
    if json:
        print_json(
            {
                "folder": str(folder),
                "limit": bound,
                "entries": [
                    {"key": each.path.name, "what": each.what, "bytes": each.size, "used": each.used} for each in kept
                ],
                "removed": [each.path.name for each in removed],
            }
        )
    else:
        rows = [(each.what or "of another version, or damaged", _size(each.size), each.last_used) for each in kept]
        if rows:
            print_tables([Table(f"cache {folder}", ("what", "size", "last used"), rows)])
        if clear or limit is not None:
            say(f"removed: {len(removed)} of {len(removed) + len(kept)} entries.")
        empty = "" if rows else f"{folder} holds nothing: "
        say(f"{empty}{_size(sum(each.size for each in kept))} of at most {_size(bound)}.")
    if clear and kept:
        raise RunError(f"{len(kept)} entries of {folder} cannot be removed: look at their permissions.")


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} B"
