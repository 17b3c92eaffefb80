"""The claims that there are, those of the package in the order in which they are shown; and what runs hold of them."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from equiwm.claims.claim import SHARED_OPTIONS, AnyClaim, Claim
from equiwm.errors import ConfigError, ResultError
from equiwm.locate import BUILT_IN, known_names, locate
from equiwm.results.measured import Measured
from equiwm.results.result import Result

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_FOLDERS = ("cells", "figures", "runs")
"""What a run or a study keeps in folders of its own, beside which a claim keeps its unfinished work."""


@cache
def built_in() -> tuple[AnyClaim, ...]:
    """The claims of the package, those of trainings before those of studies."""
    return tuple(locate("claim", name) for name in BUILT_IN["claim"])


def find(name: str) -> AnyClaim:
    """A claim by its name, by that of its entry point, or as `module:name` of an object in a user's module.

    Raises:
        ConfigError: there is none, its module cannot be imported, it is no claim, or it is called like one of ours.
    """
    found: object = locate("claim", name)
    if not isinstance(found, Claim):
        raise ConfigError(f"claim '{name}': got {type(found).__name__}, expected an equiwm.claims.claim.Claim.")
    if any(found is claim for claim in built_in()):
        return found
    if any(found.name == claim.name for claim in built_in()):
        raise ConfigError(f"claim '{name}': the name '{found.name}' is that of a claim of equiwm; give it another.")
    claim: AnyClaim = replace(found, source=name)
    _check_names(claim)
    with claim.guard("result type or view"):
        _ = claim.result_type, claim.shown
    return claim


def _check_names(claim: AnyClaim) -> None:
    """Refuse a name that is no name of a section and of a folder of the run, and options that no command can have.

    Raises:
        ConfigError: such a name.
    """
    said = f"claim '{claim.source}'"
    name: object = claim.name
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _FOLDERS:
        raise ConfigError(
            f"{said}: its name is {name!r}; expected letters, digits, '_' and '-', and none of {', '.join(_FOLDERS)}."
        )
    names = [option.name for option in claim.options]
    for option in names:
        if not option.isidentifier() or keyword.iskeyword(option):
            raise ConfigError(f"{said}: its option '{option}' is no name of a keyword.")
        if option in SHARED_OPTIONS or names.count(option) > 1:
            whose = "every claim has one" if option in SHARED_OPTIONS else "it has two"
            raise ConfigError(f"{said}: its option '{option}': {whose} of that name; give it another.")


def claims_of(names: Sequence[str] = ()) -> tuple[AnyClaim, ...]:
    """The claims of the package, those that installed packages add, and those that are named.

    Raises:
        ConfigError: as `find`, or two of one name.
    """
    added = [find(name) for name in dict.fromkeys((*known_names("claim")[len(BUILT_IN["claim"]) :], *names))]
    others = [claim for claim in added if claim.source]
    sections = [claim.name for claim in others]
    for claim in others:
        if sections.count(claim.name) > 1:
            raise ConfigError(f"claim '{claim.source}': another one is called '{claim.name}' as well.")
    return (*built_in(), *others)


@dataclass(frozen=True)
class Stored:
    """One result of a run.

    Attributes:
        claim: whose it is.
        variant: its key among the section's variants, or nothing.
        measured: what was measured.
    """

    claim: AnyClaim
    variant: str
    measured: Measured[Result]


def stored_results(
    metrics: Mapping[str, object], claims: Sequence[AnyClaim], *, study: bool, where: str
) -> Iterator[Stored | ResultError]:
    """Every result that metrics.json holds, or why it cannot be read; sections of no claim are passed over.

    Args:
        metrics: content of metrics.json.
        claims: whose sections are read.
        study: whether it is a study's.
        where: the file, for messages.
    """
    by_section = {claim.name: claim for claim in claims if claim.study == study}
    for section, entry in metrics.items():
        claim = by_section.get(section)
        if claim is None:
            continue
        variants = entry.get("variants") if isinstance(entry, Mapping) else None
        entries: Mapping[str, object] = variants if isinstance(variants, Mapping) and variants else {"": entry}
        for variant, content in entries.items():
            try:
                yield Stored(claim, variant, claim.read(content, f"{where}: {section} {variant}".strip()))
            except ResultError as error:
                yield error
