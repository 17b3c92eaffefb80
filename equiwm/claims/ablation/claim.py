"""Section `ablate` of a study. `equiwm ablate` writes it."""

from equiwm.claims.claim import Claim
from equiwm.results.ablation import AblationResult

CLAIM: Claim[AblationResult] = Claim("ablate", AblationResult, "equiwm.report.studies:ABLATION", study=True)
