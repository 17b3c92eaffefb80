"""The seeds of a cell of an ablation as one program: the rows of one by one to the bit, and each may fail by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import toy_study

from equiwm.claims.ablation import augmentation, data, items, optimizer, quadrant, scale, scaling, soft
from equiwm.claims.ablation.kind import AblationKind, Scope
from equiwm.claims.ablation.lockstep import Asking, alone, ask, side_by_side
from equiwm.claims.ablation.registry import _guarded, load_kind
from equiwm.claims.ablation.seeds import seeds_together
from equiwm.claims.ablation.study import ablation_study, resolve_scope
from equiwm.errors import ConfigError, DataError, MachineError, TrainingError
from equiwm.grid import Stacks
from equiwm.locate import BUILT_IN
from equiwm.training import stack as stacking
from equiwm.training import together
from equiwm.training.room import STACKED_TRANSITIONS, in_parts
from equiwm.worlds.field.world import Field


def small(kind: AblationKind, *, world: str | None = None, dim: int | None = None, **columns) -> dict[str, Any]:
    """Parameters of a cell of a quick study, made smaller; its first training has a last batch of another size."""
    cells = kind.cells(resolve_scope(kind, world=world, dim=dim, seeds=1, quick=True))
    found = next(cell for cell in cells if all(cell.params[name] == value for name, value in columns.items()))
    params = json.loads(json.dumps(dict(found.params)))
    copies = min(2, params.get("copies", 1))
    n = 100 * copies
    for config in params.get("configs", {"": params["config"]} if "config" in params else {}).values():
        config["training"] |= {"transitions": n, "batch": 64, "epochs": 2}
    sizes = {"transitions": n, "copies": copies, "test": 40, "updates": 4, "epochs": 3, "elements": 2, "steps": 3}
    return params | {name: size for name, size in (sizes | {"items": [2]}).items() if name in params}


def seeds_of(params: Mapping[str, Any], count: int = 2) -> list[dict[str, Any]]:
    return [{**params, "seed": seed} for seed in range(count)]


@pytest.fixture
def stacked(monkeypatch) -> list[int | None]:
    """How many trainings each stack that was asked for had; None where they could not be one."""
    sizes: list[int | None] = []
    build = together.build_stack

    def noted(fits):
        stack = build(fits)
        if len(fits) > 1:
            sizes.append(None if stack is None else len(fits))
            # On a machine whose batched products round otherwise nothing is stacked, and this says which could be.
            assert stack is not None or not stacking._can_stack(fits) or pytest.skip("products round otherwise here")
        return stack

    monkeypatch.setattr(together, "build_stack", noted)
    return sizes


CASES = {
    "vector neurons on the field": (scale.KIND, {"dim": 3, "arm": "vn"}, [2]),
    "an ordinary network on the field": (scale.KIND, {"dim": 2, "arm": "mlp", "width": 64}, [2]),
    "turned scenes": (augmentation.KIND, {"dim": 2, "arm": "mlp", "coverage": 180}, [2]),
    "turned transitions": (augmentation.KIND, {"world": "cloud", "arm": "mlp", "coverage": 180}, [2]),
    "a soft network": (soft.KIND, {"dim": 2, "arm": "soft", "beta": 1e-2}, [2]),
    "two schedules": (data.KIND, {"world": "cloud", "arm": "vn"}, [2, 2]),
    "a run": (optimizer.KIND, {"dim": 3, "arm": "vn", "optimizer": "muon"}, [2]),
    "a layer": (optimizer.KIND, {"dim": 2, "arm": "dense_layer"}, []),
    "classes on clouds": (scaling.KIND, {"world": "cloud", "axis": "time"}, [2, 2, None, 2]),
    "sets": (items.KIND, {"dim": 2, "arm": "vn"}, [None]),
}
"""Kind, the cell, and which of its trainings are stacks: frames and sets of items are trained one by one."""


@pytest.mark.parametrize("case", CASES)
def test_seeds_together_have_the_rows_of_each_alone(case, stacked):
    kind, columns, expected = CASES[case]
    params = small(kind, **columns)
    alone_ = [kind.compute(each) for each in seeds_of(params)]
    assert stacked == []
    assert kind.stacks.function(seeds_of(params)) == alone_
    assert stacked == expected
    assert alone_[0]["rows"]
    assert alone_[0]["rows"] != alone_[1]["rows"]


def test_a_seed_that_diverges_ends_alone(stacked, monkeypatch):
    made = Field.transitions

    def spoiled(self, n, *, seed, **options):
        found = made(self, n, seed=seed, **options)
        if seed == 1:
            found.next_observation[5] = float("nan")
        return found

    params = small(data.KIND, world="field", dim=2, arm="vn")
    expected = [data.KIND.compute(each) for each in seeds_of(params, 3)]
    monkeypatch.setattr(Field, "transitions", spoiled)
    found = data.KIND.stacks.function(seeds_of(params, 3))
    assert [found[0], found[2]] == [expected[0], expected[2]]
    assert found[1]["rows"] == []
    assert [line.partition(" in epoch")[0] for line in found[1]["failed"]] == [
        "fixed updates, seed 1: training diverged",
        "fixed epochs, seed 1: training diverged",
    ]
    assert found[1] == data.KIND.compute(seeds_of(params, 3)[1])


# A study


def shrunk(kind: AblationKind, params: Mapping[str, Any]) -> AblationKind:
    def cells(scope: Scope):
        first = kind.cells(scope)[: len(scope.seeds)]
        return [replace(cell, params={**params, "seed": cell.params["seed"]}) for cell in first]

    return replace(kind, cells=cells)


def files_of(study) -> dict[str, bytes]:
    kept = [study.path / "rows.csv", study.path / "cells/grid.json", *(study.path / "cells/cells").iterdir()]
    return {path.name: path.read_bytes() for path in kept}


def test_a_study_keeps_what_it_keeps_one_by_one_and_goes_on_with_it(tmp_path, stacked):
    """The cells that an older version has computed one by one are gone on with; what is missing is stacked."""
    kind = shrunk(scale.KIND, small(scale.KIND, dim=2, arm="vn"))
    scope = resolve_scope(kind, dim=2, seeds=4, quick=True)
    before, _ = ablation_study(replace(kind, stacks=None), scope, tmp_path / "before")
    assert stacked == []
    study, result = ablation_study(kind, scope, tmp_path / "now")
    assert stacked == [4]
    assert files_of(study) == files_of(before)
    seconds = json.loads((study.path / "cells/seconds.json").read_text())
    assert len(seconds) == 4
    assert min(seconds.values()) > 0
    for number, path in enumerate(sorted((before.path / "cells/cells").iterdir())):
        if number % 2:
            path.unlink()
    again, resumed = ablation_study(kind, scope, tmp_path / "before", resume=True)
    assert stacked == [4, 2]
    assert files_of(again) == files_of(study)
    assert resumed == result


def test_every_process_has_seeds_to_compute_and_none_more_than_there_is_room_for():
    params = small(quadrant.KIND, arm="vn")
    several = list(enumerate(seeds_of(params, 5)))
    units = quadrant.KIND.stacks.units
    assert units(several, 1) == [[0, 1, 2, 3, 4]]
    assert units(several, 2) == [[0, 1], [2, 3, 4]]
    params["config"]["training"]["transitions"] = 100_000
    assert units(list(enumerate(seeds_of(params, 5))), 1) == [[0, 1], [2, 3], [4]]
    params["config"]["training"]["transitions"] = 10
    params["config"]["world"]["name"] = "somebody:World"
    assert units(list(enumerate(seeds_of(params, 3))), 1) == [[0], [1], [2]]
    layer = small(optimizer.KIND, dim=2, arm="vn_layer")
    assert optimizer.KIND.stacks.units(list(enumerate(seeds_of(layer, 3))), 1) == [[0], [1], [2]]
    half = STACKED_TRANSITIONS // 2
    assert in_parts([half, half, 1, 2 * half, 3 * half, 1]) == [[0, 1], [2], [3], [4], [5]]


@pytest.mark.parametrize("name", sorted(set(BUILT_IN["ablation"])))
def test_every_kind_of_the_package_trains_seeds_together(name):
    kind = load_kind(name)
    cells = kind.cells(resolve_scope(kind, seeds=3, quick=True))
    units = kind.stacks.units([(index, cell.params) for index, cell in enumerate(cells)], 1)
    trained = {index for index, cell in enumerate(cells) if {"config", "configs"} & set(cell.params)}
    assert {len(unit) for unit in units if set(unit) <= trained} == {3}
    assert {len(unit) for unit in units if not set(unit) & trained} <= {1}
    for unit in units:
        assert len({cells[index].key.rpartition(",seed=")[0] for index in unit}) == 1


# Kinds of others


def of_others(params: Mapping[str, Any]) -> Asking[dict[str, Any]]:
    """A kind outside the package that asks for its answers."""
    width = yield from ask(widths, params["width"])
    return toy_study.compute({**params, "width": width})


def widths(several):
    return [TrainingError("too wide") if width == 9 else width for width in several]


def test_a_kind_of_others_is_computed_as_it_was_and_may_ask_for_seeds_together(tmp_path):
    kind = _guarded(toy_study.toy(widths=(1, 2)), "toy_study:KIND")
    assert kind.stacks is None
    scope = resolve_scope(kind, dim=2, seeds=1)
    plain, result = ablation_study(kind, scope, tmp_path, name="plain")
    stacks = Stacks(lambda params: "all", seeds_together(of_others).function)
    asking = _guarded(replace(toy_study.toy(widths=(1, 2)), stacks=stacks), "toy_study:KIND")
    study, same = ablation_study(asking, scope, tmp_path, name="asking")
    assert files_of(study) == files_of(plain)
    assert same == result


def test_stacks_of_others_that_are_none_are_refused():
    def guarded(stacks):
        return _guarded(replace(toy_study.KIND, stacks=stacks), "mine:KIND").stacks

    with pytest.raises(ConfigError, match="'mine:KIND': its stacks are 3; expected Stacks"):
        guarded(3)
    with pytest.raises(DataError, match="the `of` of its stacks raised KeyError"):
        guarded(Stacks(lambda params: params["none"], widths)).units([(0, {})], 1)
    with pytest.raises(DataError, match="the `parts` of its stacks raised ValueError"):
        guarded(Stacks(lambda params: "all", widths, lambda several: [[0]])).units([(0, {}), (1, {})], 1)


# What asks


def halved(x: int, closed: list[int]) -> Asking[int]:
    try:
        while x > 1:
            x = yield from ask(halves, x)
        return x
    finally:
        closed.append(x)


def halves(several):
    return [ValueError(f"{x} is odd") if x % 2 else x // 2 for x in several]


def test_each_is_asked_for_with_those_that_wait_and_fails_alone(monkeypatch):
    asked: list[list[int]] = []
    exact = halves

    def noted(several):
        asked.append(several)
        return exact(several)

    monkeypatch.setitem(globals(), "halves", noted)
    found = side_by_side([halved(x, []) for x in (8, 6, 1, 2)])
    assert [found[0], *found[2:]] == [1, 1, 1]
    assert str(found[1]) == "3 is odd"
    assert asked == [[8, 6, 2], [4, 3], [2]]
    assert side_by_side([]) == []
    with pytest.raises(ValueError, match="5 is odd"):
        alone(halved(10, []))


@pytest.mark.parametrize("stop", [OSError(28, "No space left"), MachineError("the disk is full"), KeyboardInterrupt()])
def test_what_the_machine_stops_is_put_down_whole(stop):
    def stopped(closed) -> Asking[int]:
        yield from ask(halves, 2)
        raise stop

    closed: list[int] = []
    with pytest.raises(type(stop)):
        side_by_side([halved(8, closed), stopped(closed), halved(16, closed)])
    assert sorted(closed) == [4, 16]


def test_seeds_in_memory_are_let_go_one_after_another(monkeypatch):
    """While one network is measured, nothing holds the data of those that have been."""
    import gc
    import weakref

    held: list[weakref.ref] = []
    alive: list[int] = []

    def training(seed: int) -> Asking[int]:
        block = torch.zeros(3) + seed
        held.append(weakref.ref(block))
        yield from ask(widths, 1)
        gc.collect()
        alive.append(sum(each() is not None for each in held))
        return int(block.sum())

    assert side_by_side([training(seed) for seed in range(3)]) == [0, 3, 6]
    assert alive == [3, 2, 1]
