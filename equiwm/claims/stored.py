"""The results of one run, read from its metrics.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from equiwm.claims.claim import AnyClaim
from equiwm.errors import ResultError
from equiwm.results.measured import Measured
from equiwm.results.result import Result


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
