"""Where in the flat form of a rep the copies of one sort of kind stand, inside products and sums as well."""

from __future__ import annotations

from math import prod

from equiwm.symmetry.composites import DirectSum, TensorProduct, is_still
from equiwm.symmetry.kinds import Kind


def places_of(kind: Kind, d: int, sort: type[Kind]) -> list[list[int]]:
    """The entries of every copy of a sort in one copy of a kind: `perm5*1o` holds five vectors.

    Of a product the copies are those of the one factor that turns; a product of two, `1o*1o`, holds none.

    Args:
        kind: what is looked into.
        d: dimension of the space.
        sort: a class of kinds.
    """
    if isinstance(kind, sort):
        return [list(range(kind.dim(d)))]
    if isinstance(kind, DirectSum):
        found, start = [], 0
        for count, part in kind.terms:
            inner = places_of(part, d, sort)
            for _ in range(count):
                found += [[start + place for place in places] for places in inner]
                start += part.dim(d)
        return found
    if isinstance(kind, TensorProduct):
        turning = [k for k, factor in enumerate(kind.factors) if not is_still(factor)]
        if len(turning) != 1:
            return []
        k = turning[0]
        before = prod(factor.dim(d) for factor in kind.factors[:k])
        after = prod(factor.dim(d) for factor in kind.factors[k + 1 :])
        width = kind.factors[k].dim(d)
        inner = places_of(kind.factors[k], d, sort)
        return [
            [(b * width + place) * after + a for place in places]
            for b in range(before)
            for a in range(after)
            for places in inner
        ]
    return []
