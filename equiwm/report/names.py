"""Names of the tables of a report: of their files and labels, and of what `--tables` asks for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from equiwm.errors import ConfigError, nearest
from equiwm.printable import quoted
from equiwm.report.document import Chapter, Report
from equiwm.tables.table import Table

_MOST = 80
"""Characters of a name."""


def slug(text: str) -> str:
    """`text` as a name that a file system, a label and a shell take: small letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(words) > _MOST:
        words = words[:_MOST].rpartition("-")[0] or words[:_MOST]
    return words or "table"


def named(report: Report) -> list[tuple[Chapter, list[tuple[str, Table]]]]:
    """Each chapter with its tables and their names, which are their titles as slugs; a second of one name is NAME-2."""
    taken: set[str] = set()

    def unique(title: str) -> str:
        stem, number = slug(title), 1
        while (name := stem if number == 1 else f"{stem}-{number}") in taken:
            number += 1
        taken.add(name)
        return name

    return [(chapter, [(unique(table.title), table) for table in chapter.tables]) for chapter in report.chapters]


def chosen(report: Report, wanted: Sequence[str]) -> Report:
    """The report with some of its tables alone.

    Args:
        report: all of it.
        wanted: names of tables or chapters (sections of metrics.json), or patterns of such (`one-step-*`).

    Raises:
        ConfigError: a name that nothing has, with the nearest ones.
    """
    chapters, used = [], set()
    for chapter, tables in named(report):
        kept = []
        for name, table in tables:
            fitting = {each for each in wanted if _fits(each, name) or _fits(each, slug(chapter.section))}
            used |= fitting
            kept += [table] * bool(fitting)
        if kept:
            chapters.append(replace(chapter, tables=tuple(kept)))
    for each in wanted:
        if each not in used:
            known = [name for chapter, tables in named(report) for name in (slug(chapter.section), *dict(tables))]
            raise ConfigError(f"no table is called {quoted(each)}: {_nearest(slug(each), known)}")
    return replace(report, chapters=tuple(chapters))


def _nearest(wanted: str, known: Sequence[str]) -> str:
    """Names are long: the beginning of one is as good as all of it."""
    beginnings = {name[: len(wanted)]: name for name in reversed(known)}
    close = get_close_matches(wanted, beginnings, n=3, cutoff=0.7)
    return f"did you mean {' or '.join(beginnings[each] for each in close)}?" if close else nearest(wanted, known)


def _fits(wanted: str, name: str) -> bool:
    return fnmatchcase(name, wanted.lower().replace("_", "-"))
