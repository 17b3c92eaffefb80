"""The public names of `equiwm`: wrong input is a typed error of one or two lines, and every object prints briefly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import equiwm
from equiwm.config import load
from equiwm.errors import EquiwmError
from equiwm.symmetry.group import Group

ROWS = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))


def same(x: torch.Tensor) -> torch.Tensor:
    return x


def probe(**changes: Any) -> equiwm.Probe:
    return equiwm.Probe(
        changes.pop("fn", same), **{"inputs": ROWS, "group": "so3", "takes": "1o", "gives": "1o", **changes}
    )


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "a group that is a number": (lambda: probe(group=3), "expected a name such as so3"),
    "a group that is nothing": (
        lambda: equiwm.check_equivariance(same, ["1o"], "1o", None, [ROWS]),
        "expected a name such as so3",
    ),
    "a group that is misspelt": (lambda: probe(group="so33"), "did you mean so3"),
    "a rep that is misspelt": (lambda: equiwm.Rep.parse("1x1oo", 3), "did you mean"),
    "a verdict that is misspelt": (lambda: equiwm.Verdict("exakt"), "did you mean exact"),
    "a preset that is misspelt": (lambda: __import__("equiwm.config").config.load("vn-22d", None, ()), "did you mean"),
    "reps in a tuple for one input": (lambda: equiwm.audit(probe(takes=("1o", "0e"))), "one leaf"),
    "reps as text for several inputs": (lambda: equiwm.check_equivariance(same, "1o", "1o", "so3", [ROWS]), "a list"),
    "a bare tensor for inputs": (lambda: equiwm.check_equivariance(same, ["1o"], "1o", "so3", ROWS), "a list"),
    "a bare array for inputs": (lambda: equiwm.check_equivariance(same, ["1o"], "1o", "so3", ROWS.numpy()), "a list"),
    "numbers for inputs": (lambda: equiwm.check_equivariance(same, ["1o"], "1o", "so3", [3]), "tensors or arrays"),
    "an audit of a tensor": (lambda: equiwm.audit(ROWS), "expected Probe"),
    "an audit of a function": (lambda: equiwm.audit(same), "expected Probe"),
    "words for a number": (lambda: equiwm.audit(probe(), elements="many"), "expected at least 1"),
    "no function": (lambda: probe(fn=None), "is called"),
    "a run that is a number": (lambda: equiwm.load_run(3), "path of a folder"),
    "a run that is not there": (lambda: equiwm.load_run("nothing"), "does not exist"),
    "a dtype that is a word": (lambda: equiwm.load_run("nothing", dtype="float16"), "torch.float64"),
    "a device that is none": (lambda: equiwm.load_run("nothing", device="gpu"), "expected one of cpu"),
    "an export that is a number": (lambda: equiwm.load_export(3), "path of a folder"),
    "a model that is a number": (lambda: equiwm.Subject(3, 4), "torch.nn.Module"),
    "a world that is a word": (lambda: equiwm.Subject(torch.nn.Linear(3, 3), "vn-2d"), "which a world has"),
    "a world probe that is a word": (lambda: equiwm.check_world("vn-2d"), "expected a WorldProbe"),
    "a log that is a number": (lambda: equiwm.check_data(3, "so2"), "path of a log"),
    "a log and no group": (lambda: equiwm.check_data("log.csv", 3), "expected a name such as so3"),
    "a world of a number": (lambda: equiwm.discover(3), "which a world has"),
    "generators that are a matrix": (lambda: equiwm.FiniteGroup.generated_by(np.eye(3), name="x"), "matrices of shape"),
    "seeds that are words": (lambda: equiwm.audit(probe(), seed="one"), "expected an integer from 0"),
    "a seed below 0": (
        lambda: equiwm.check_equivariance(same, ["1o"], "1o", "so3", [ROWS], seed=-1),
        "an integer from 0",
    ),
    "a seed of a drawing that is a word": (lambda: equiwm.draw("1o", "so3", seed="one"), "an integer from 0"),
    "a seed of a discovery that is a word": (lambda: equiwm.discover(probe(), seed="one"), "an integer from 0"),
    "an audit in a dtype that is a word": (lambda: equiwm.audit(probe(), dtype="float16"), "torch.float64"),
    "an array of words": (
        lambda: equiwm.check_equivariance(same, ["1o"], "1o", "so3", [np.array([["a", "b", "c"]])]),
        "expected numbers",
    ),
    "other descriptions in a list": (lambda: probe(alike=[1]), "names to functions"),
    "values of a drawing that are a number": (lambda: equiwm.draw("same", "so3", values=3), "expected a mapping"),
    "generators that are words": (lambda: equiwm.FiniteGroup.generated_by("abc", name="x"), "matrices of numbers"),
    "a policy that is a number": (lambda: equiwm.load_policy(3), "path of a folder"),
    "a subject that is a number": (lambda: equiwm.save_subject(3, "runs", "x"), "expected a Subject"),
    "reps of a log that are a number": (lambda: equiwm.check_data("log.csv", "so2", reps=3), "path of a reps.yaml"),
    "no rep": (lambda: equiwm.Rep.parse(None, 3), "expected text"),
    "a space that is a word": (lambda: equiwm.Rep.parse("1o", "3"), "dimension of the space"),
    "inputs that are none": (lambda: probe(inputs=[]), "needs inputs"),
    "a call that is none": (lambda: probe(call="***"), "call is"),
    "a function that gives nothing": (lambda: equiwm.audit(probe(fn=lambda x: None)), "got NoneType"),
    "a function that raises": (lambda: equiwm.audit(probe(fn=lambda x: 1 / 0)), "division by zero"),
    "inputs that are empty": (lambda: equiwm.check_equivariance(same, ["1o"], "1o", "so3", [ROWS[:0]]), "is empty"),
    "a network that is a number": (lambda: equiwm.symmetrise(3, "so3", ("1o", "1o")), "takes a network"),
    "an average that is none": (
        lambda: equiwm.symmetrise(torch.nn.Linear(3, 3), "so3", ("1o", "1o"), how="mean"),
        "expected 'frame'",
    ),
    "elements in words": (lambda: Group.parse("so3").sample("three", 0), "how many elements to draw"),
    "elements below none": (lambda: Group.parse("s4").sample(-1, 0), "how many elements to draw"),
    "elements of half a seed": (lambda: Group.parse("d4").sample(3, 0.5), "an integer from 0, or a numpy Generator"),
    "an axis that is a word": (lambda: equiwm.Typed("1o", axis="last"), "expected the number of an axis"),
    "inputs of a group that is a number": (lambda: equiwm.draw("1o", 3), "expected a name such as so3"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_is_a_typed_error(what):
    call, words = WRONG[what]
    with pytest.raises(EquiwmError, match=words.replace(".", r"\.").replace("(", r"\(")) as told:
        call()
    assert len(str(told.value).splitlines()) <= 2


def test_arrays_stand_for_tensors():
    arrays = equiwm.check_equivariance(same, ["1o"], "1o", "so3", [ROWS.numpy()])
    tensors = equiwm.check_equivariance(same, ["1o"], "1o", "so3", [ROWS])
    assert str(arrays) == str(tensors)
    assert equiwm.audit(probe(inputs=ROWS.numpy()), explain=False).verdict == "exact"


def test_every_public_object_prints_in_ten_lines(trained):
    run = equiwm.load_run(trained / "vn-2d")
    clamped = equiwm.audit(probe(fn=lambda x: x.clamp(-0.1, 0.1)))
    objects = [
        *(probe(), probe(inputs=[ROWS[k] for k in range(16)]), clamped, run, run.world.coverage, equiwm.Verdict.EXACT),
        *(Group.parse("so3"), Group.parse("d4"), Group.parse("so3").sample(64, 0), equiwm.Rep.parse("8x0e+16x1o", 3)),
        *(equiwm.Typed("1o", axis=1), equiwm.check_equivariance(same, ["1o"], "1o", "so3", [ROWS])),
        *(run.world.transitions(4, seed=1), run.world, load("vn-2d", None, ())),
    ]
    for each in objects:
        lines = str(each).splitlines()
        assert len(lines) <= 10, type(each)
        assert max(map(len, lines)) <= 400, type(each)
    assert str(clamped).startswith("BROKEN: ")
    assert "cause: component by component" in str(clamped)
    assert repr(probe()) == "Probe(same, a batch, group='so3', takes='1o', gives='1o')".replace("'so3'", "'SO(3)'")


def test_results_of_evidence_show_themselves():
    """As text, and as the output of a notebook's cell."""
    from equiwm.evidence.algebra.result import DiscoverResult
    from equiwm.evidence.world.result import WorldResult
    from equiwm.tables.cell import brief, cell
    from equiwm.tables.table import Table

    assert all(hasattr(kind, "_repr_html_") for kind in (equiwm.AuditResult, WorldResult, DiscoverResult))
    assert brief("\n".join(map(str, range(30)))).splitlines()[-1] == "... 21 more lines"
    shown = cell("one <b>\ntwo", [Table("t", ("a", "b"), [("x", "1")])])
    assert "<p>one &lt;b&gt;</p>" in shown
    assert shown.count("<table") == 1


def test_configurations_and_data_show_themselves(trained):
    config = load("vn-2d", None, ())
    assert str(config).splitlines()[1] == "world pusht, network vn, then vn"
    assert "training.epochs = 160    # " in config._repr_html_()
    shown = equiwm.load_run(trained / "vn-2d").world.transitions(4, seed=1)._repr_html_()
    assert "Transitions(4 of " in shown
    assert shown.count("next_observation") == 1


def test_what_a_world_says_of_itself_is_shown():
    from equiwm.evidence.world.worlds import preset_probe

    result = equiwm.check_world(preset_probe("vn-2d"), states=4, horizons=(1,))
    assert str(result).startswith(f"{result.verdict.upper()}")
    assert len(str(result).splitlines()) <= 10
    assert "<table" in result._repr_html_()
