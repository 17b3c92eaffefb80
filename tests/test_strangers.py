"""What others hand you: runs, presets and numbers made to hang, to mislead, to run code or to read your files."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import random
import re
import shlex
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_runs import MLP, VN, Maker, closed_loop, rollout, sweep, verify

from equiwm.claims.view import Drawing
from equiwm.cli.main import run as command
from equiwm.cli.options import parse_seeds
from equiwm.config import load
from equiwm.errors import ConfigError, EquiwmError, GroupError, RepError, ResultError
from equiwm.printable import printable
from equiwm.report.document import make_report, markdown
from equiwm.report.drawings import drawings_of
from equiwm.report.latex.document import latex
from equiwm.report.tidy import tidy_csv
from equiwm.resume_hint import IN_WORDS
from equiwm.runs import Run
from equiwm.symmetry.groups import SO3
from equiwm.symmetry.named import parse_group
from equiwm.symmetry.reps import Rep

ODD = "\x1b[2J\u202e\u200b=|<script>"


@pytest.fixture
def make(tmp_path) -> Maker:
    return Maker(tmp_path / "runs")


@pytest.fixture
def call(capsys) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        start = time.process_time()
        status = command([*map(str, arguments)])
        assert time.process_time() - start < 20
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run


def edited(path: Path, **changes: Any) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**data, **changes}), encoding="utf-8")


# One bad run beside two good ones


def replaced(name: str, content: str | bytes) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        (run / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def added(text: str) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        path = run / "config.yaml"
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")

    return damage


def instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        (run / name).unlink()
        make(run / name)

    return damage


def headed(**changes: Any) -> Callable[[Path], None]:
    return lambda run: edited(run / "config.yaml", **changes)


DAMAGES = {
    **{
        f"a {kind}": added(f"extra: {text}\n")
        for kind, text in {
            "date": "2024-01-01",
            "time": "1:30:00",
            "binary": "!!binary aGk=",
            "set": "!!set {a}",
            "object": "!!python/none",
            "key": "{1: 2}",
            "nan": ".nan",
            "large float": "1.0e+400",
            "large integer": "9" * 5000,
            "alias": "&a [*a]",
            "nest": "[" * 2000 + "]" * 2000,
        }.items()
    },
    "a key twice": added("seed: 3\n"),
    "aliases": replaced("config.yaml", "\n".join(f"a{k}: &a{k} [{f'*a{k - 1}, ' * 9}]" for k in range(1, 30))),
    "text as YAML": replaced("config.yaml", b"\xff\xfe\x00"),
    "large YAML": replaced("config.yaml", "a" * (2**20 + 1)),
    **{
        f"{kind} as JSON": replaced("metrics.json", text)
        for kind, text in {
            "bytes": b'{"a": "\xff"}',
            "a large integer": '{"train": {"seed": ' + "9" * 5000 + "}}",
            "a list": "[]",
            "a nest": '{"train": ' + "[" * 100_000 + "]" * 100_000 + "}",
            "a large float": '{"train": {"seconds": 1e400}}',
            "half a character": r'{"train": {"a": "\udc00"}}',
            "a key twice": '{"train": {}, "train": {}}',
            "nothing": "",
        }.items()
    },
    **{f"a pipe as {name}": instead(name, os.mkfifo) for name in ("config.yaml", "metrics.json")},
    **{f"a folder as {name}": instead(name, os.mkdir) for name in ("config.yaml", "metrics.json")},
    **{
        f"a device as {name}": instead(name, lambda path: path.symlink_to("/dev/zero"))
        for name in ("config.yaml", "metrics.json")
    },
    "a link out": instead("metrics.json", lambda path: path.symlink_to("/etc/passwd")),
    "a loop of links": instead("metrics.json", lambda path: path.symlink_to(path)),
    "a negative seed": headed(seed=-1),
    "a seed beyond 64 bits": headed(seed=2**64),
    "a negative schema": headed(schema=-3),
    "a world that is a list": headed(world=["pusht"]),
    "a world named by a list": headed(world={"name": ["pusht"]}),
    "a preset that is a list": headed(preset=["vn-2d"]),
    "a preset that is a list, with code": headed(preset=["vn-2d"], model={"module": "evil:Code"}),
    "a setting beyond 64 bits": headed(training={"epochs": 2**64}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_report_names_the_bad_run_and_prints_the_good(make, call, damage):
    make.pair()
    bad = make("vn-2d", 1, name="bad").path
    damage(bad)
    status, out, err = call("report", make.folder)
    assert status == 0
    assert "| vn-2d |" in out
    assert "| mlp-2d |" in out
    skipped = [line for line in err.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == 1
    assert str(Path("runs") / "bad") in skipped[0]
    assert len(skipped[0]) < 700


def test_a_fault_of_ours_stays_one(make, monkeypatch, capsys):
    """What the doors do not name is no damage of the run."""
    make.pair()

    def broken(*arguments: object) -> object:
        raise KeyError("ours")

    monkeypatch.setattr("equiwm.report.collect.stored_results", broken)
    assert command(["report", str(make.folder)]) == 3
    assert "fault of equiwm" in capsys.readouterr().err


# Values that no command of ours writes, everywhere in a run's results

REMOVED = object()
VALUES = (REMOVED, None, -1, 0, 1e308, 2**62, "", ODD, [], {}, True, [1.0], "../../x")


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def changed(value: Any, path: tuple, new: Any) -> Any:
    value = copy.deepcopy(value)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if new is REMOVED:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return value


def test_no_value_in_a_result_breaks_a_report(make):
    model = make("vn-2d")
    beside = {"name": "mlp-2d", "preset": "mlp-2d", "train_seed": 0, "checkpoint_sha256": "0"}
    model.record("verify_equivariance", "so2/float32", verify(1e-7))
    model.record("sweep_group", "so2/float32", sweep(1.0, VN), {**sweep(9.0, MLP), **beside})
    model.record("rollout", "so2/float32", rollout(1.0, VN), {**rollout(8.0, MLP), **beside})
    model.record("closed_loop", "equivariant/pose", closed_loop(1.0, VN), {**closed_loop(2.0, MLP), **beside})
    for run, count in ((model, 120), (make.study(), 40)):
        whole = json.loads(run.metrics_path.read_text(encoding="utf-8"))
        cases = [(path, value) for path in places(whole) for value in VALUES]
        for path, value in random.Random(0).sample(cases, count):
            run.metrics_path.write_text(json.dumps(changed(whole, path, value)), encoding="utf-8")
            report = make_report([make.folder])
            for text in (markdown(report), latex(report), tidy_csv(report)):
                assert printable(text) == text
            for each in report.runs:
                assert all("/" not in drawing.name for _, drawing in drawings_of(each, []))


# Figures


@pytest.mark.parametrize(
    ("section", "key"), [("sweep_group", "group"), ("rollout", "dtype"), ("closed_loop", "planner")]
)
def test_a_figures_name_does_not_lead_out_of_the_folder(make, call, tmp_path, section, key):
    results = {"sweep_group": sweep(1.0, VN), "rollout": rollout(1.0, VN), "closed_loop": closed_loop(1.0, VN)}
    make("vn-2d").record(section, "x", {**results[section], key: "/../../../escaped"})
    status, _, err = call("report", make.folder, "--figures", tmp_path / "deep" / "figures")
    assert status == 0
    assert "as the name of a file, expected a single name" in err
    assert not list(tmp_path.rglob("*escaped*"))


def test_no_drawing_has_such_a_name():
    with pytest.raises(ResultError, match="name of a figure, expected a single name"):
        Drawing("../x", lambda folder: folder)


def test_a_link_out_of_a_run_is_not_put_into_a_page(make, call, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret of the reader")
    run = make("vn-2d")
    run.record("sweep_group", "so2/float32", sweep(1.0, VN))
    run.figures.mkdir()
    (run.figures / "sweep_so2_float32.svg").symlink_to(secret)
    status, page, _ = call("report", make.folder, "--format", "html")
    assert status == 0
    assert base64.b64encode(secret.read_bytes()).decode()[:16] not in page
    assert "data:image/svg+xml;base64," in page  # it is drawn anew


def test_paths_that_are_damaged_are_left_out(make, call, tmp_path):
    run = make("vn-2d")
    run.record("closed_loop", "equivariant/pose", closed_loop(1.0, VN))
    run.figures.mkdir()
    (run.figures / "closed_loop_equivariant_pose_paths.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    status, _, err = call("report", make.folder, "--figures", tmp_path / "figures")
    assert status == 0
    assert "closed_loop_equivariant_pose_paths.csv is damaged" in err


# Pages and tables


def test_a_page_allows_its_own_style_and_script_alone(make, call):
    study = make.study("study")
    edited(study.config_path, name=ODD)
    os.rename(study.path, study.path.with_name("st\u202eudy"))
    make.pair()
    status, page, _ = call("report", make.folder, "--format", "html")
    assert status == 0
    assert not set("\x1b\u202e\u200b") & set(page)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert policy is not None
    allowed = policy[1].replace("&#39;", "'")
    assert allowed.startswith("default-src 'none'; img-src data:;")
    for tag, kind in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in allowed
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert " style=" not in page


def test_labels_of_a_stranger_are_shown_as_text(make, call):
    run = make("vn-2d", name="=1+1")
    result = sweep(1.0, VN)
    result["readout"] = {f"@SUM{ODD}": result["readout"]["block"]}
    run.record("sweep_group", "so2/float32", result)
    for form in ("markdown", "latex", "csv"):
        status, out, _ = call("report", make.folder, "--format", form)
        assert status == 0
        assert printable(out) == out
    assert "'@SUM" in out
    assert "\n'=1+1," in out


# The resume hint


def unfinished(folder: Path, command: list[str], **changes: Any) -> Run:
    run = Run.create(folder, "mine", load("vn-2d").as_dict(), seed=0, command=["equiwm", "train"])
    edited(run.config_path, command=command, **changes)
    return Run(run.path)


@pytest.mark.parametrize(
    "given",
    [
        ["equiwm", "train", "--preset", "/tmp/evil.yaml"],
        ["equiwm", "train", "--config", "/dev/zero"],
        ["equiwm", "train", "--set", "world.name=evil:World"],
        ["equiwm", "train", "--set", "model.encoder=evil:Encoder"],
        ["equiwm", "train", "--set", "training.epochs=99"],
        ["equiwm", "train", "--preset", "no-such"],
    ],
    ids=lambda given: " ".join(given[2:]),
)
def test_a_strangers_command_is_not_repeated(tmp_path, given):
    hint = f"equiwm train --preset vn-2d --name mine --out {tmp_path} --resume"
    assert unfinished(tmp_path, given).resume_command == hint


def test_of_a_strangers_command_only_what_is_known_is_left(tmp_path):
    run = unfinished(tmp_path, ["rm", "-rf", "~", "--out", "/", "--name", "x; reboot", "--trust", "evil"])
    assert run.resume_command == f"equiwm train --preset vn-2d --name mine --out {tmp_path} --resume"


def test_what_is_not_as_the_preset_has_it_is_set(tmp_path):
    changes = ["training.epochs=7", "training.lr=0.01", "model.encoder_widths=[8, 8]", "world.wedge=[0, 80]"]
    run = Run.create(tmp_path, "mine", load("vn-2d", None, changes).as_dict(), seed=3)
    words = shlex.split(run.resume_command)
    given = [following for word, following in pairwise(words) if word == "--set"]
    assert len(given) == 4
    assert load("vn-2d", None, given).as_dict() == run.data
    assert words[:6] == ["equiwm", "train", "--preset", "vn-2d", "--seed", "3"]


def test_where_no_safe_command_makes_the_run_there_is_none(tmp_path):
    assert unfinished(tmp_path / "a", [], description="another").resume_command == IN_WORDS
    assert unfinished(tmp_path / "b", [], preset="no-such").resume_command == IN_WORDS
    assert unfinished(tmp_path / "c", [], model={"encoder": "evil:Encoder"}).resume_command == IN_WORDS


def test_code_that_a_preset_names_is_not_imported_for_a_hint(tmp_path):
    marker = tmp_path / "imported"
    (tmp_path / "evil_module.py").write_text(f"open({str(marker)!r}, 'w')\n", encoding="utf-8")
    preset = tmp_path / "evil.yaml"
    preset.write_text("model: {encoder: 'evil_module:Encoder'}\n", encoding="utf-8")
    run = unfinished(tmp_path, ["equiwm", "train", "--preset", str(preset)])
    assert "evil" not in run.resume_command
    assert not marker.exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "equiwm ablate scale --dim 2 --seeds 3 --jobs 2 --name old --out there",
            "ablate scale --dim 2 --seeds 3 --jobs 2",
        ),
        ("equiwm reproduce A B --quick --json", "reproduce A B --quick"),
        ("equiwm ablate evil:KIND", None),
        ("equiwm ablate scale --scheduler tcp://evil:8786", None),
        ("equiwm ablate scale --preset /tmp/evil.yaml", None),
        ("rm -rf /", None),
        ("equiwm train --set a=b", None),
    ],
)
def test_how_to_go_on_with_a_study(tmp_path, given, expected):
    study = Run.create(tmp_path, "study", {"study": {}}, seed=0, kind="study", command=shlex.split(given))
    hint = IN_WORDS if expected is None else f"equiwm {expected} --name study --out {tmp_path} --resume"
    assert study.resume_command == hint


# Numbers


@pytest.mark.parametrize(
    "text", ["0-3000000", "0-4294967295", "9" * 5000, f"0-{'9' * 5000}", "1-0", "²", "0-999,1000-1999"]
)
def test_seeds_are_few(text):
    with pytest.raises(ConfigError) as caught:
        parse_seeds(text)
    assert len(str(caught.value)) < 200
    assert parse_seeds("0-999") == list(range(1000))


BEYOND = ("18446744073709551616", "-18446744073709551616", "1e400", "9" * 5000, ".inf", "[[[[1]]]]", "&a [*a]")


@pytest.mark.parametrize("value", BEYOND, ids=lambda value: value[:12])
@pytest.mark.parametrize("setting", ["training.epochs", "training.lr", "model.encoder_widths", "world.wedge"])
def test_a_setting_beyond_any_number_is_one_line(call, tmp_path, setting, value):
    status, _, err = call("train", "--set", f"{setting}={value}", "--out", tmp_path / "out")
    assert status == 2
    assert err.count("\n") == 1
    assert len(err) < 300
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--seed", str(2**64)],
        ["train", "--seeds", "0-3000000"],
        ["train", "--seeds", str(2**64)],
        ["train", "--seeds", "0-1", "--jobs", str(2**64)],
        ["ablate", "scale", "--seeds", str(2**64)],
        ["ablate", "scale", "--seeds", "3000000"],
        ["reproduce", "--seeds", "3000000"],
        ["sweep-group", "absent", "--seed", str(2**64)],
        ["sweep-group", "absent", "--bins", str(2**64)],
        ["rollout", "absent", "--sequences", str(2**64)],
        ["verify-equivariance", "absent", "--tolerance", "1e400"],
        ["verify-equivariance", "absent", "--group", "s" + "9" * 5000],
    ],
    ids=" ".join,
)
def test_an_option_beyond_any_number_is_refused(call, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    status, _, err = call(*arguments)
    assert status == 2
    assert err.count("\n") <= 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("d", [0, -1, 2.5, True, "3", None, 10**9, 2**64])
def test_a_space_has_a_whole_dimension(d):
    with pytest.raises(RepError, match=r"d: got .*, expected the dimension of the space, 1 to 64"):
        Rep.parse("1o", d)


REPS = ("1000000000x1o", "999999999x1o", "1000000e", "33e", "999o", "perm999999*perm999999", "(" * 5000, "x" * 3000000,
        "(" * 40 + "1o" + ")" * 40, "1o*" * 1000 + "1o", f"signed[{'1,' * 3000}1]", "signed[" + "9" * 4000 + "]",
        "*".join(["same999999"] * 300))  # fmt: skip


@pytest.mark.parametrize("text", REPS, ids=lambda text: text[:20])
def test_reps_are_bounded(text):
    start = time.process_time()
    with pytest.raises(RepError) as caught:
        Rep.parse(text, 3)
    assert time.process_time() - start < 2
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("count", [0, -1, 2.0, True, "2"])
def test_a_multiplicity_is_a_whole_number(count):
    with pytest.raises(RepError):
        Rep([(count, "1o")], 3)


def test_a_matrix_is_bounded_and_a_transform_needs_none():
    rep = Rep.parse("100000x1o", 3)
    with pytest.raises(RepError, match="use transform"):
        rep.matrix(SO3.sample(1, 0))


@pytest.mark.parametrize(
    "name", ["s100000", "c99999999", "d513", "c1024*mirrory2", "so3*" * 3000 + "so3", "s" + "9" * 5000, "c512z*d512x"]
)
def test_groups_are_bounded(name):
    start = time.process_time()
    with pytest.raises(GroupError) as caught:
        parse_group(name)
    assert time.process_time() - start < 10
    assert len(str(caught.value)) < 700


def test_every_refusal_is_typed():
    """The errors of the doors are all of one kind, which the commands print in a line."""
    assert all(issubclass(kind, EquiwmError) for kind in (ConfigError, GroupError, RepError, ResultError))
