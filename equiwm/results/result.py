"""What every result is: plain data under the names of `metrics.json`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """Base: a result is data and nothing else."""

    def as_dict(self) -> dict[str, Any]:
        """Nested plain data."""
        return dataclasses.asdict(self)
