"""The audit against networks whose truth is known: verdict, cause and layer of each, and the coverage of claims."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import pytest
import torch
from zoo.case import DTYPES, Case
from zoo.random_networks import planted_probe, random_probe
from zoo.table import CASES

from equiwm.audit.audit import audit, drawn_elements, judge, overall
from equiwm.audit.calling import left_as_found
from equiwm.audit.preflight import preflight
from equiwm.audit.probe import Probe
from equiwm.audit.result import AuditResult

ELEMENTS = 24
CAUSES, LAYERS = 0.9, 0.95
"""Shares that have to be right of what has a cause, and of what has a layer."""
_LAYER = re.compile(r"It breaks (?:at|inside) (.+?)(?: \(|, before)")

EACH = [
    pytest.param(
        case,
        dtype,
        id=f"{case.name}, {dtype}",
        marks=[pytest.mark.xfail(reason=case.fault, strict=True)] if case.fault and dtype in case.faulty else [],
    )
    for case in CASES
    for dtype in DTYPES
]


@functools.cache
def audited(case: Case, dtype: str) -> AuditResult | Exception:
    """The audit of a case, made once; an audit that raises is wrong about it."""
    try:
        return audit(case.make(getattr(torch, dtype)), elements=ELEMENTS)
    except Exception as error:
        return error


def causes_of(result: AuditResult | Exception) -> list[str]:
    return [] if isinstance(result, Exception) else [cause.name for cause in result.causes]


def layer_of(result: AuditResult | Exception) -> str | None:
    if isinstance(result, Exception):
        return None
    found = [_LAYER.match(cause.text) for cause in result.causes if cause.name == "the layer"]
    return found[0].group(1) if found and found[0] else None


def is_layer(found: str | None, planted: str | None) -> bool:
    """Whether a module is the one with the break, or a part of it: the parts of a module are done before itself."""
    if found is None or planted is None:
        return found == planted
    found = found.partition(" ")[0] if planted != "the whole" else found
    return found == planted or found.startswith((f"{planted}.", f"{planted} "))


def test_the_zoo_is_large_and_no_name_is_there_twice():
    assert len({case.name for case in CASES}) == len(CASES) >= 28
    assert sum(case.cause is not None for case in CASES) >= 24
    assert sum(case.layer is not None for case in CASES) >= 14


@pytest.mark.parametrize(("case", "dtype"), EACH)
def test_the_verdict_is_the_truth(case, dtype):
    result = audited(case, dtype)
    if isinstance(result, Exception):
        raise result
    assert result.verdict in case.verdicts, result.sentence


def test_no_network_is_called_exact_that_is_not_nor_broken_that_is_not():
    """The two errors that cost most, counted over all but the known faults."""
    known = {(case.name, dtype) for case in CASES if case.fault for dtype in case.faulty}
    wrong = []
    for case in CASES:
        for dtype in DTYPES:
            result = audited(case, dtype)
            said = "an error" if isinstance(result, Exception) else result.verdict
            if (case.name, dtype) not in known and said not in case.verdicts:
                wrong.append((case.name, dtype, said))
    assert [each for each in wrong if each[2] in ("exact", "approximate", "broken")] == []


@functools.cache
def score(what: str) -> tuple[int, int, list[str]]:
    """How many of the causes or layers are right, of how many, and the lines of those that are not."""
    right, lines, total = 0, [], 0
    for case in CASES:
        truth = case.cause if what == "cause" else case.layer
        if truth is None:
            continue
        for dtype in DTYPES:
            result = audited(case, dtype)
            good = truth in causes_of(result) if what == "cause" else is_layer(layer_of(result), truth)
            total, right = total + 1, right + good
            if not good:
                found = causes_of(result) if what == "cause" else layer_of(result)
                lines.append(f"{case.name} ({dtype}): expected {truth}, got {found}")
    return right, total, lines


def test_the_cause_is_right():
    right, total, lines = score("cause")
    first = sum(causes_of(audited(case, dtype))[:1] == [case.cause] for case in CASES if case.cause for dtype in DTYPES)
    print(f"\ncauses: {right} of {total}, {first} of them named first", *lines, sep="\n  ")
    assert right >= CAUSES * total, lines


def test_the_layer_is_right():
    right, total, lines = score("layer")
    print(f"\nlayers: {right} of {total}", *lines, sep="\n  ")
    assert right >= LAYERS * total, lines


def test_the_table_is_printed():
    """With -s: every network, what is true and what was said."""
    print()
    for case in CASES:
        for dtype in DTYPES:
            result = audited(case, dtype)
            said = f"{type(result).__name__}" if isinstance(result, Exception) else result.verdict
            mark = " " if said in case.verdicts else "!"
            print(
                f"{mark} {case.name:50} {dtype} {said:18} {', '.join(causes_of(result)):60} {layer_of(result) or '':20}"
            )


# The coverage of claims


def verdict_of(probe: Probe, elements: int = 8, seed: int = 1000) -> str:
    """The verdict alone, without the experiments that look for causes."""
    with left_as_found(probe.modules):
        state = preflight(probe, seed)
        assert state.stop is None
        drawn, _ = drawn_elements(probe, state, elements, seed)
        return overall(judge(state, drawn, seed))


def not_in(verdicts: tuple[str, ...], make: Callable[[int], Probe], seeds: range) -> dict[int, str]:
    """Seeds whose verdict is another."""
    found = {seed: verdict_of(make(seed)) for seed in seeds}
    return {seed: verdict for seed, verdict in found.items() if verdict not in verdicts}


RIGHT, WRONG = ("exact", "precision-limited"), ("approximate", "broken")


def test_exact_networks_are_never_approximate():
    assert not_in(RIGHT, random_probe, range(60)) == {}


@pytest.mark.slow
def test_a_thousand_exact_networks_are_never_approximate():
    assert not_in(RIGHT, random_probe, range(60, 1000)) == {}


def test_one_broken_channel_of_256_is_never_exact():
    assert not_in(WRONG, planted_probe, range(8)) == {}


@pytest.mark.slow
def test_a_hundred_broken_channels_of_256_are_never_exact():
    assert not_in(WRONG, planted_probe, range(8, 100)) == {}
