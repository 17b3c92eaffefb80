"""Claims augmentation, scale and soft: nothing replaces the architecture. What is stated is the ablation's own."""

from __future__ import annotations

from typing import Any

from equiwm.claims.ablation.registry import load_kind
from equiwm.claims.ablation.study import resolve_scope
from equiwm.claims.reproduce.sources import PaperClaim, Size, SourcedStatement, stated


def _statements(kind: str, size: Size) -> list[SourcedStatement[Any]]:
    """Those of a kind of ablation, in every dimension that it has."""
    found = load_kind(kind)
    scope = resolve_scope(found, world=None, dim=None, seeds=size.seeds, quick=size.quick)
    source = size.ablate(kind)
    return [
        stated(each.setting, each.quantity, each.paper, source, each.read, each.bound, ours=each.ours)
        for each in found.statements(scope)
    ]


def augmentation(size: Size) -> list[SourcedStatement[Any]]:
    """From no augmentation to the whole group, beside the VN without any."""
    return _statements("augmentation", size)


def scale(size: Size) -> list[SourcedStatement[Any]]:
    """The best width and number of scenes, by each measure."""
    return _statements("scale", size)


def soft(size: Size) -> list[SourcedStatement[Any]]:
    """What softness buys in fit and costs in generalisation and exactness."""
    return _statements("soft", size)


AUGMENTATION = PaperClaim("augmentation", "Augmentation closes the gap in error, not in exactness.", augmentation)
SCALE = PaperClaim("scale", "Width and data close neither gap.", scale)
SOFT = PaperClaim("soft", "A soft symmetry trades exactness and generalisation for fit.", soft)
