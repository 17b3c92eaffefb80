"""What others wrote is shown as text and nothing else: no cursor moves, nothing hides, nothing fills a screen."""

from __future__ import annotations

import csv
import io
import pickle

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equiwm.cli.output import say
from equiwm.errors import ConfigError, MissingExtraError, RunError, nearest
from equiwm.printable import MOST_MESSAGE, check_component, formula_safe, printable, quoted
from equiwm.schema import coerce
from equiwm.tables.sheet import csv_text
from equiwm.tables.table import Table

FUZZ = settings(deadline=2000, max_examples=200, derandomize=True)
UNSEEN = "\x1b[2J\u202eabc\u200b\ufeff\x00\x9b\u2066\udcff\U000e0041\ufe0f\u3164\u2028\r"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é ü 日本 \U0001f600 90° × –", None),
        ("two\nlines", None),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\u202eb", r"a\u202eb"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\udcff", r"\udcff"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("back\rspace\b\t", r"back\x0dspace\x08\x09"),
        ("line\u2028separator", r"line\u2028separator"),
    ],
)
def test_what_is_not_seen_is_an_escape(text, shown):
    assert printable(text) == (text if shown is None else shown)


@FUZZ
@given(st.text(st.characters(), max_size=30))
def test_printable_text_is_printable_and_stays(text):
    shown = printable(text)
    shown.encode()
    assert printable(shown) == shown
    assert not set(shown) & set("\x1b\r\u202e\u200b\x00")
    assert len(quoted(text)) <= 60


@pytest.mark.parametrize(
    "value", ["x" * 3_000_000, [["x"] * 10**6] * 9, 10**100_000, {"k" * 10**6: 1}, b"x" * 10**6], ids=type
)
def test_a_message_never_repeats_a_large_input(value):
    assert len(quoted(value)) <= 60
    with pytest.raises(ConfigError) as caught:
        coerce(value, float, "training.lr")
    assert len(str(caught.value)) < 200
    assert len(nearest(str(value)[: 10**6] if not isinstance(value, int) else "9", ["a", "b"])) < 200


def test_short_values_are_repeated_as_they_are():
    assert quoted("vn-2d") == "'vn-2d'"
    assert quoted([1, 2.5, None]) == "[1, 2.5, None]"
    assert quoted(2**64) == str(2**64)


def test_every_error_is_printable_and_bounded():
    error = RunError(f"the run {UNSEEN} is no run\nsecond line")
    assert str(error) == f"the run {printable(UNSEEN)} is no run\nsecond line"
    assert len(str(RunError("x" * 3_000_000))) <= MOST_MESSAGE
    assert str(MissingExtraError("no \x1b")) == r"no \x1b"
    again = pickle.loads(pickle.dumps(error))
    assert again.args == error.args


def test_a_table_is_printable_however_it_is_rendered(capsys):
    table = Table(UNSEEN, (UNSEEN, "b"), [(UNSEEN, "1")], (UNSEEN,))
    text = table.markdown()
    assert printable(text) == text
    assert text.count(r"\u202e") == 4
    say(f"run: {UNSEEN}")
    said = capsys.readouterr().err
    assert printable(said) == said


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=\x1b"])
def test_a_formula_is_text(text):
    assert formula_safe(text) == "'" + printable(text)
    written = csv_text(pd.DataFrame({text: [text], "n": [-1.5]}))
    header, row = csv.reader(io.StringIO(written))
    assert header[0] == row[0] == "'" + printable(text)
    assert row[1] == "-1.5"


@pytest.mark.parametrize("text", ["-90", "+1e-3", "-.5", "90°", "a=b", "", "vn-2d"])
def test_numbers_and_words_stay(text):
    assert formula_safe(text) == text


@FUZZ
@given(st.floats(), st.integers(-(2**60), 2**60))
def test_numbers_are_written_as_pandas_writes_them(number, count):
    frame = pd.DataFrame({"a": [number, 0.5], "b": [count, 1], "c": [None, True]})
    assert csv_text(frame) == frame.to_csv(index=False, lineterminator="\n")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", ".hidden", "a\nb", "a\x1b", "x" * 300, "\u202ea"]
)
def test_no_name_leads_out_of_a_folder(name):
    assert check_component(name) is not None
    assert check_component("so3*s5") is None
    assert check_component("SE(2) about z") is None
