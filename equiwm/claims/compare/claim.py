"""Two sides on the same tasks: which is better? `equiwm compare` asks it."""

from equiwm.claims.claim import Claim
from equiwm.claims.compare.result import CompareResult

CLAIM: Claim[CompareResult] = Claim("compare", CompareResult, "equiwm.claims.compare.view:VIEW")
