"""Section `reproduce` of a study. `equiwm reproduce` writes it."""

from equiwm.claims.claim import Claim
from equiwm.results.reproduction import ReproductionResult

CLAIM: Claim[ReproductionResult] = Claim(
    "reproduce", ReproductionResult, "equiwm.report.studies:REPRODUCTION", study=True
)
