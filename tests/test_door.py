"""The door of results: what was written is read back, and what cannot be is named to the entry."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from equiwm.errors import ResultError
from equiwm.results import door
from equiwm.results.result import Real, Result
from equiwm.results.sections import OF_STUDY, OF_TRAINING
from equiwm.results.train import TrainResult
from equiwm.runs import Run

REFERENCE = Path(__file__).parents[1] / "runs" / "reference"
TRAIN = TrainResult(
    parameters=3,
    transitions=2,
    excluded={"wall": 1},
    seconds=1.5,
    steps_seconds=1.0,
    first_loss=1.0,
    final_loss=0.5,
    latent_std=0.3,
    effective_rank=2.0,
    weights_moved=0.1,
    seed=0,
)


@dataclass(frozen=True)
class Inner(Result):
    value: Real


@dataclass(frozen=True)
class Outer(Result):
    name: str
    level: float
    many: list[Inner]
    pair: tuple[Real, Real]


GOOD = {"name": "a", "level": 1.0, "many": [{"value": 1.0}, {"value": None}], "pair": [0.5, 2]}


def test_what_is_written_is_read_back():
    data = door.to_builtins(TRAIN)
    assert door.read(TrainResult, json.loads(json.dumps(data))) == TRAIN


def test_null_is_nan_where_the_type_says_so():
    result = door.read(Outer, GOOD)
    assert result.many[0].value == 1.0
    assert math.isnan(result.many[1].value)
    assert result.pair == (0.5, 2.0)
    assert door.to_builtins(result) == GOOD


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_null(value):
    assert door.to_builtins(Inner(value)) == {"value": None}


def test_a_result_that_is_not_what_it_declares_is_not_written():
    with pytest.raises(TypeError, match="TrainResult does not hold what it declares: Expected float, got null - at"):
        door.to_builtins(TrainResult(**{**TRAIN.as_dict(), "final_loss": math.nan}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"many": [{"value": 1.0}, {"value": "x"}]}, "Expected float, got str - at $.many[1].value"),
        ({"many": [{"value": 1.0}, {"value": True}]}, "Expected float, got bool - at $.many[1].value"),
        ({"many": [{}]}, "Object missing required field value - at $.many[0]"),
        ({"level": None}, "Expected float, got null - at $.level"),
        ({"level": "x"}, "Expected float, got str - at $.level"),
        ({"many": {}}, "Expected array, got object - at $.many"),
        ({"pair": [1.0]}, "Expected array of length 2, got 1 - at $.pair"),
        ({"schema": door.SCHEMA + 1}, f"schema {door.SCHEMA + 1}, expected at most {door.SCHEMA}; install a later"),
        ({"schema": "x"}, f"schema 'x', expected at most {door.SCHEMA}"),
    ],
)
def test_what_cannot_be_read_is_named(change, said):
    with pytest.raises(ResultError) as caught:
        door.read(Outer, {**GOOD, **change}, "metrics.json: outer")
    assert str(caught.value).startswith(f"metrics.json: outer: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [None, [], 3, "text", {}])
def test_what_is_no_result_is_refused(data):
    with pytest.raises(ResultError):
        door.read(Outer, data)


def test_every_result_of_the_reference_is_read():
    count = 0
    for path in sorted(REFERENCE.rglob("metrics.json")):
        run = Run(path.parent)
        types = OF_STUDY if run.header.kind == "study" else OF_TRAINING
        for section, entry in run.metrics().items():
            for content in (entry.get("variants") or {"": entry}).values():
                for data in (content, *([content["baseline"]] if "baseline" in content else [])):
                    result = door.read(types[section], data, str(path))
                    assert door.read(types[section], door.to_builtins(result)) == result
                    count += 1
    assert count >= 275
