"""The doors for small files of others: what is read, and what is refused by name, at once and in one line."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from equiwm.disk.safe_yaml import MOST_YAML, parse_yaml, read_yaml
from equiwm.disk.strict_json import canonical_json, read_json
from equiwm.disk.text import MOST_TEXT, read_bytes, read_text
from equiwm.errors import ConfigError, EquiwmError, RunError

ROOT = Path(__file__).parents[1]
FUZZ = settings(
    deadline=2000, max_examples=300, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(EquiwmError) as caught:
        call(*arguments, **options)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 700
    return said


def said_of(kind: type[EquiwmError], call, *arguments) -> str:
    """What is said of an input, if it is refused; any other error is a failure."""
    try:
        call(*arguments)
    except kind as error:
        return str(error)
    return ""


# Files


def in_place_of(path: Path, kind: str) -> None:
    """Something that is no file, at `path`."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        held = socket.socket(socket.AF_UNIX)
        held.bind(str(path))
        held.close()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(path)


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device", "loop"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    path = Path("metrics.json")
    in_place_of(path, kind)
    expected = "symbolic links" if kind == "loop" else f"it is a {kind}, expected a file"
    assert expected in refusal(read_text, path)
    refusal(read_json, path)
    refusal(read_yaml, path)


def test_a_file_has_a_bounded_size(tmp_path):
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(MOST_TEXT + 1)
    assert "expected at most 16,777,216" in refusal(read_json, large)
    assert "expected at most 1,048,576" in refusal(read_yaml, large)
    assert read_bytes(large, most=MOST_TEXT + 1) == bytes(MOST_TEXT + 1)
    assert MOST_YAML < MOST_TEXT


def test_what_is_not_text_is_named(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"a: caf\xe9")
    assert "byte 6 is not UTF-8" in refusal(read_text, path)
    assert "no such file" in refusal(read_text, tmp_path / "absent")


def test_a_link_does_not_lead_out_of_a_run(tmp_path):
    secret, run = tmp_path / "secret.json", tmp_path / "run"
    secret.write_text('{"a": 1}', encoding="utf-8")
    run.mkdir()
    (run / "metrics.json").symlink_to(secret)
    assert "a link that leads out" in refusal(read_json, run / "metrics.json")
    (run / "inner.json").write_text('{"a": 1}', encoding="utf-8")
    (run / "again.json").symlink_to("inner.json")
    assert read_json(run / "again.json") == {"a": 1}
    (tmp_path / "linked").symlink_to(run)  # the run itself may be a link
    assert read_json(tmp_path / "linked" / "inner.json") == {"a": 1}
    assert read_text(run / "metrics.json")  # a file that the user names may lie anywhere


# JSON


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": ' + "9" * 5000 + "}", "has more than 64 bits"),
        ('{"a": 18446744073709551616}', "has more than 64 bits"),
        ('{"a": 1e400}', "1e400 is beyond a float"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested more than 64 deep"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "nested more than 64 deep"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        (r'{"a": "\ud800"}', "surrogates"),
        ("[1]", "expected a JSON object"),
        ('{"a": 1', "Expecting"),
        ("", "Expecting value"),
    ],
)
def test_json_that_is_refused(tmp_path, text, said):
    path = tmp_path / "metrics.json"
    path.write_text(text, encoding="utf-8")
    assert said in refusal(read_json, path)


def test_json_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "metrics.json"
    data = {"a": [1, -(2**63), 2**63 - 1, 0.1, 1e-320, None, True, "é \U0001f600"], "b": {"c": {}}}
    path.write_text(canonical_json(data), encoding="utf-8")
    assert read_json(path) == data
    path.write_text(json.dumps(data), encoding="utf-8")
    assert read_json(path) == data


# YAML

LAUGHS = "\n".join([f"a0: &a0 [{'x, ' * 9}x]", *(f"a{k}: &a{k} [{f'*a{k - 1}, ' * 9}*a{k - 1}]" for k in range(1, 20))])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "a0: got the anchor &a0"),
        ("a: *b", "a: got the alias *b"),
        ("<<: {a: 1}", "got the key <<"),
        ("a: {b: 2024-01-01}", "a.b: got 2024-01-01, which YAML reads as a date; expected text in quotes"),
        ("a: 1:30", "a: got 1:30, which YAML reads as a number that is not decimal"),
        ("a: 190:20:30.15", "expected a finite decimal number"),
        ("a: 0x1F", "not decimal"),
        ("a: 010", "not decimal"),
        ("a: !!binary aGk=", "a: got a value tagged"),
        ("a: !!set {x}", "a: got a value tagged"),
        ("a: !!python/object/apply:os.system [ls]", "a: got a value tagged"),
        ("a: !mine x", "a: got a value tagged '!mine'"),
        ("1: b", "got the key 1"),
        ("on: b", "got the key on"),
        ("? [a]\n: b", "a list or a mapping as a key"),
        ("a: 18446744073709551616", "a: got 18446744073709551616, expected an integer of at most 64 bits"),
        ("a: " + "9" * 5000, "expected an integer of at most 64 bits"),
        ("a: [1, .inf]", "a.1: got .inf, expected a finite decimal number"),
        ("a: .nan", "a: got .nan"),
        ("a: 1.0e+400", "a: got 1.0e+400"),
        ("a: 1\na: 2", "the key 'a' stands there twice"),
        ("[" * 100_000, "nested more than 32 deep"),
        ("- " * 100_000, "nested more than 32 deep"),
        ("--- 1\n--- 2", "several documents"),
        ("a: b: c", "line 1: mapping values are not allowed"),
        ("a: \x1b[2J", "as YAML: control characters are not allowed"),
        ("a: \ud800", "not UTF-8"),
    ],
    ids=lambda text: text[:20].encode("unicode_escape").decode(),
)
def test_yaml_that_is_refused(text, said):
    assert said in refusal(parse_yaml, text, "file")


def test_yaml_is_read_as_before():
    """Every YAML file of the repository, and everything plain that PyYAML writes."""
    files = [*ROOT.glob("presets/*.yaml"), *ROOT.glob("runs/**/config.yaml"), *ROOT.glob("tests/**/*.yaml")]
    assert len(files) > 20
    for file in files:
        assert read_yaml(file) == yaml.safe_load(file.read_text(encoding="utf-8")), file
    assert parse_yaml("", "file") is None
    assert parse_yaml("[yes, no, ~, 1_000, -3, 1.5, 'on', \"2024-01-01\", 1e-3]", "file") == [
        *(True, False, None, 1000, -3, 1.5, "on", "2024-01-01", "1e-3")
    ]


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc é:#-1", max_size=4), inner, max_size=3),
    max_leaves=12,
)


@FUZZ
@given(plain)
def test_what_pyyaml_writes_is_read_back(value):
    text = yaml.dump(value, Dumper=Unaliased, sort_keys=False, allow_unicode=True)
    assert parse_yaml(text, "file") == yaml.safe_load(text)  # not the value: PyYAML itself loses a next-line character


class Unaliased(yaml.SafeDumper):
    """Equal lists that are one object are written out, as `equiwm.schema.plain` makes them."""

    def ignore_aliases(self, data):
        return True


YAML_PARTS = st.sampled_from(
    [*"abc019.,:-?&*!|>%@'\"[]{}#~<=+_\\ \n\t", "a: ", "\n  ", "- ", "&a ", "*a", "!!", "...", "---", "1e400", "\x00"]
)


@FUZZ
@given(st.lists(YAML_PARTS, max_size=40).map("".join) | st.text(max_size=40))
@example("? ")
def test_no_text_is_more_than_refused_as_yaml(text):
    assert "\n" not in said_of(ConfigError, parse_yaml, text, "file")


@FUZZ
@given(st.binary(max_size=60) | st.lists(st.sampled_from([b'{"a":', b"[", b"]", b"}", b"1e", b"9" * 30, b'"', b"\\ud8",
    b"-", b",", b"NaN", b"\xff", b"true", b" "]), max_size=20).map(b"".join))  # fmt: skip
def test_no_bytes_are_more_than_refused_as_json(tmp_path, content):
    path = tmp_path / "metrics.json"
    path.write_bytes(content)
    assert "\n" not in said_of(RunError, read_json, path)
