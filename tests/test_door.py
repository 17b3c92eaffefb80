"""The door of results: what was written is read back, and what cannot be is named to the entry."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import equiwm
from equiwm.claims.registry import built_in
from equiwm.claims.sweep.result import SweepResult
from equiwm.errors import ResultError
from equiwm.results import door, measured
from equiwm.results.result import Real, Result
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


SWEEP = {
    **{"group": "so2", "dtype": "float32", "device": "cpu", "transitions": 4, "excluded": {}, "bins": []},
    **{"seen": 1.0, "worst_ood": None, "ood_factor": None, "flatness": 0.0, "part_flatness": {}, "readout": {}},
    **{"symmetry_excess": None, "parameters": 1, "seed": 0},
}
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
        ({"schema": -3}, f"schema -3, expected at most {door.SCHEMA}"),
        ({"schema": True}, f"schema True, expected at most {door.SCHEMA}"),
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
        claims = {claim.name: claim for claim in built_in() if claim.study == (run.header.kind == "study")}
        for section, entry in run.metrics().items():
            for content in (entry.get("variants") or {"": entry}).values():
                read = claims[section].read(content, str(path))
                written = measured.to_builtins(read)
                assert claims[section].read(written) == read
                assert ("baseline" in content) == (read.baseline is not None)
                count += 1 + ("baseline" in content)
    assert count >= 275


def test_results_of_the_predecessor_say_what_training_had_seen():
    """Schema 1: `seen` in words, and which bins were drawn told by their labels alone."""
    old = {"part": "rotation", "from_wedge_deg": 0.0, "relmse": 1.0, "components": {}, "readout": {}}
    labels = {"0": "true", "90": "partial", "mirror 180": "false"}
    data = {**SWEEP, "bins": [{**old, "label": label, "seen": seen} for label, seen in labels.items()]}
    bins = door.read(SweepResult, data).bins
    assert [each.overlap for each in bins] == ["full", "partial", "none"]
    assert [each.turn_deg for each in bins] == [0.0, 90.0, 180.0]
    drawn = {**SWEEP, "group": "so3", "bins": [{**old, "label": "random 1", "seen": "false"}]}
    assert door.read(SweepResult, drawn).bins[0].drawn
    assert door.read(SweepResult, drawn).bins[0].turn_deg is None
    with pytest.raises(ResultError, match=re.escape("Invalid enum value 'maybe' - at $.bins[0].overlap")):
        door.read(SweepResult, {**SWEEP, "bins": [{**old, "label": "0", "seen": "maybe"}]})


def test_a_label_is_never_data():
    """A bin of today whose name begins like that of a drawn one, and is not."""
    bin_ = {"label": "random walk", "part": "rotation", "from_wedge_deg": 0.0, "overlap": "none", "drawn": False}
    data = {**SWEEP, "bins": [{**bin_, "relmse": 1.0, "components": {}, "readout": {}}]}
    assert not door.read(SweepResult, data).bins[0].drawn


def test_a_baseline_is_read_with_its_provenance():
    beside = {"name": "b", "preset": None, "train_seed": 3, "checkpoint_sha256": "0"}
    whole = measured.to_builtins(measured.Measured(TRAIN, checkpoint_sha256="abc"))
    assert whole["schema"] == door.SCHEMA
    read = measured.read(TrainResult, {**whole, "baseline": {**TRAIN.as_dict(), **beside}})
    assert read == measured.Measured(TRAIN, measured.Baseline(measured.Provenance(**beside), TRAIN), "abc")
    assert list(read.sides("b")) == ["b", "b (baseline)"]
    for wrong in ({}, [], {**TRAIN.as_dict()}, {**beside}):
        with pytest.raises(ResultError, match="metrics: train, baseline: "):
            measured.read(TrainResult, {**whole, "baseline": wrong}, "metrics: train")


# Behind the door results have attributes: nothing there is looked up by a string

ROOT = Path(equiwm.__file__).parent
ROOMS = ("claims", "report", "tables", "figures")
PLAIN = {
    "params": "parameters of a grid's cell: plain data that goes to another process",
    "options": "options of a command, by the name of its keyword",
    "given": "what an ablation's `settings` gave: plain data for config.yaml",
    "chosen": "the same",
    "BUILT_IN": "the resolver's table of names",
    "TOLERANCE": "bounds by dtype",
    "colormaps": "matplotlib's",
    "look": "keywords of a line, matplotlib's",
}
"""Names that never hold a result, in any module."""
FRAMES = {
    *("frame", "rows", "here", "first", "shown", "straight", "turned", "path", "start", "members", "part"),
    *("of_model", "of_episode", "of_one", "long", "own", "pairs", "groups", "ends", "closed", "overlapping"),
}
"""What modules that draw or tabulate with pandas call their frames; elsewhere these names are not exempt."""
ALONE = {
    "claims/registry.py: entry['variants']": "the door's own: takes a section apart into its entries",
    "claims/sweep/result.py: data['bins']": "`Result.upgraded`, the door's own: schema 1 is read",
    "claims/sweep/result.py: data['group']": "the same",
    "claims/sweep/result.py: entry['label']": "the same",
    "claims/sweep/result.py: entry['seen']": "the same",
    "claims/closed_loop/measure.py: outcomes['model']": "episodes by controller, in memory, before there is a result",
    "claims/reproduce/costs.py: data['study']": "config.yaml of a study",
    "claims/reproduce/costs.py: study['claim']": "the same",
    "claims/reproduce/costs.py: study['quick']": "the same",
    "claims/reproduce/sources.py: settings['']": "assignments by preset; nothing stands for every preset",
    "claims/compare/pairs.py: data['run']": "parameters of a pair, as `sides.as_params` writes them",
    "claims/compare/pairs.py: data['policy']": "the same",
    "claims/compare/pairs.py: data['planner']": "the same",
    "claims/compare/pairs.py: data['planning']": "the same",
    "claims/reproduce/sources.py: dict['dtype']": "options of a command",
    "claims/ablation/scaling_columns.py: played['success']": "columns of a row, in memory, before there is one",
    "claims/ablation/scaling_columns.py: closed_loop['success_unseen']": "the same",
    "report/ood_figure.py: row['test']": "a row of the figure's frame",
    "report/settings.py: settings['world']": "config.yaml of a run",
    "report/settings.py: world['name']": "the same",
    "report/settings.py: world['dimension']": "the same",
    "report/summary.py: data['description']": "the same",
}
"""Single places, each with what it looks into."""


def base(node: ast.expr) -> str:
    """The name that a chain of subscripts, calls and methods starts from: its last attribute where it is a value's."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            return node.attr
        if isinstance(node, ast.Call):
            node = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        elif isinstance(node, ast.Subscript):
            node = node.value
        else:
            return "?"
    return node.id


def string_lookups(tree: ast.AST) -> Iterator[str]:
    """`x["name"]` that is read, and `x.get("name")`."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=value, slice=ast.Constant(value=str(key)), ctx=ast.Load()):
                yield f"{base(value)}['{key}']"
            case ast.Call(func=ast.Attribute(value=value, attr="get" | "pop"), args=[ast.Constant(value=str(key)), *_]):
                yield f"{base(value)}['{key}']"


def test_no_result_is_read_by_a_string():
    """Results are read at the door, whole; behind it a misspelled quantity is mypy's to find."""
    found, met = [], set()
    for path in (path for each in ROOMS for path in sorted((ROOT / each).rglob("*.py"))):
        text = path.read_text(encoding="utf-8")
        exempt = PLAIN.keys() | (FRAMES if "import pandas" in text or "pd." in text else set())
        for lookup in string_lookups(ast.parse(text)):
            place = f"{path.relative_to(ROOT).as_posix()}: {lookup}"
            met.add(place)
            if lookup.partition("[")[0] not in exempt and place not in ALONE:
                found.append(place)
    assert found == []
    assert set(ALONE) <= met


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("metrics['sweep']", "metrics['sweep']"),
        ("run.metrics()['train']['parameters']", "run['parameters'] run['train']"),
        ("result.bins[0]['relmse']", "bins['relmse']"),
        ("found.get('failed', [])", "found['failed']"),
        ("result.bins[0].relmse; names[0]; made['x'] = 1", ""),
    ],
)
def test_what_counts_as_reading_by_a_string(code, said):
    assert " ".join(string_lookups(ast.parse(code))) == said
