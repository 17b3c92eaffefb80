"""Section `distill`: what a distillation came to. `equiwm distill` writes it."""

from equiwm.claims.claim import Claim
from equiwm.claims.distill.result import DistillResult

CLAIM: Claim[DistillResult] = Claim("distill", DistillResult, "equiwm.claims.distill.view:VIEW")
