"""What every result is: plain data under the names of `metrics.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Real = float
    FileName = str
else:

    class Real(float):
        """The type of a number that may not be finite, or may not exist (a ratio to 0, a model that diverged).

        JSON has no NaN and no infinity: all three are null in `metrics.json`, and null is NaN when it is read. A field
        declared `float` is always finite, and null in its place is refused. To a type checker the two are one type.
        """

        __slots__ = ()

    class FileName(str):
        """The type of a name that files are called by (a group's in `sweep_so2_float32.png`).

        It is one printable component of a path: a stored result whose names lead out of a folder is refused.
        """

        __slots__ = ()


UNKNOWN = Real("nan")
"""The NaN of results: one object, so that a result equals itself after it was read back."""


@dataclass(frozen=True)
class Result:
    """Base: a result is data and nothing else."""

    def as_dict(self) -> dict[str, Any]:
        """Nested plain data."""
        return dataclasses.asdict(self)

    @property
    def variant(self) -> str:
        """Key of an invocation among its section's variants (`so3/float64`); empty where there is one alone."""
        return ""

    @property
    def misfit(self) -> str | None:
        """Why its parts, each of its type, do not fit together (lists of other lengths); None where they do."""
        return None

    @classmethod
    def upgraded(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Stored data of an earlier schema under the names of this one; data of this schema as it is.

        Args:
            data: the stored result, unchecked: what has another shape is returned as it is, to be refused by name.
        """
        return data
