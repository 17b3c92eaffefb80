"""How the sections of studies are shown: an ablation, and a reproduction of the paper."""

from __future__ import annotations

from collections.abc import Iterator

from equiwm.claims.view import Drawing, Shown, View
from equiwm.report.ablation.view import ablation_figure, ablation_tables
from equiwm.report.reproduce import reproduce_tables
from equiwm.results.ablation import AblationResult
from equiwm.results.reproduction import ReproductionResult


def _ablation_drawings(shown: Shown[AblationResult]) -> Iterator[Drawing]:
    result = shown.measured.result
    if result.rows:
        yield Drawing(f"ablate_{result.kind}", lambda folder: ablation_figure(result.as_dict(), shown.name, folder))


ABLATION: View[AblationResult] = View(
    heading="Studies",
    tables=lambda measured, name: ablation_tables(measured.result.as_dict(), name),
    drawings=_ablation_drawings,
)
REPRODUCTION: View[ReproductionResult] = View(
    heading="The paper and these runs",
    tables=lambda measured, name: reproduce_tables(measured.result.as_dict(), name),
)
