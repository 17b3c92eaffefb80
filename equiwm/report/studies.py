"""How the sections of studies are shown: an ablation, and a reproduction of the paper."""

from __future__ import annotations

from collections.abc import Iterator

from equiwm.claims.view import Drawing, Shown, View
from equiwm.report.ablations import ablation_figure, ablation_tables, can_be_drawn
from equiwm.report.entries import decided
from equiwm.report.reproduce import reproduce_tables
from equiwm.results.ablation import AblationResult
from equiwm.results.reproduction import ReproductionResult


def _ablation_drawings(shown: Shown[AblationResult]) -> Iterator[Drawing]:
    result = shown.measured.result
    if can_be_drawn(result):
        name = f"ablate_{result.kind.partition(':')[0]}"
        yield Drawing(name, lambda folder: ablation_figure(result, shown.name, folder), result.question)


ABLATION: View[AblationResult] = View(
    heading="Studies",
    tables=lambda measured, name: ablation_tables(measured.result, name),
    drawings=_ablation_drawings,
    entry=lambda result: (
        result.question,
        result.answer if result.statements is None else decided(result.statements),
    ),
)
REPRODUCTION: View[ReproductionResult] = View(
    heading="The paper and these runs",
    tables=lambda measured, name: reproduce_tables(measured.result, name),
    entry=lambda result: ("Do the paper's claims hold?", decided(result.rows)),
)
