"""check-data: calibrated on symmetric logs, finds breaks with their size and place, and knows what it cannot tell."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from calibration.run import measured, rows_of
from calibration.symmetric import BROKEN, STRATA, field, glider, pusht
from scipy.stats import binomtest

from equiwm.cli.main import run
from equiwm.errors import ConfigError, DataError, GroupError
from equiwm.evidence.data.check import check_data, check_observed
from equiwm.evidence.data.frames import frames_of, in_frame
from equiwm.evidence.data.observed import Observed, Part
from equiwm.evidence.data.seen import seen_arcs
from equiwm.evidence.data.smoother import CONSTANT, Smoother
from equiwm.evidence.data.statistic import DRAWS, family, whitened
from equiwm.logs.spec import parse_spec
from equiwm.symmetry.elements import Elements
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep
from equiwm.worlds.pusht.world import PushT

DATA = Path(__file__).parent / "data"
CALIBRATION = DATA / "check-data-calibration.csv"
HUMAN = os.environ.get("EQUIWM_PUSHT_HUMAN", "")
needs_human = pytest.mark.skipif(
    not HUMAN, reason="set EQUIWM_PUSHT_HUMAN to the folder of the human PushT demonstrations"
)


def checked(make: Callable[[int], Observed], group: str, seed: int = 1):
    return check_observed(make(seed), Group.parse(group), seed=seed)


# What it finds


def test_a_drifting_table_is_found_with_its_size():
    """2 px a step in the lab's +x, in the world's units of 256 px."""
    result = checked(pusht(3000, "all", drift=2.0), "so2")
    assert result.verdict == "broken"
    assert result.p_value <= 0.01
    assert result.effect is not None
    assert result.effect.column == "block_position"
    assert 256 * result.effect.size == pytest.approx(2.0, abs=0.5)
    assert 256 * result.effect.low < 2.0 < 256 * result.effect.high
    assert result.effect.direction[0] > 0.95
    assert "+x" in result.sentence
    assert "REFUTES" in result.sentence
    assert result.augmentation.startswith("none")
    shows = next(each for each in result.detectable if each.column == "block_position")
    assert 256 * shows.size < 2.0


def test_the_same_world_without_the_drift_is_consistent():
    result = checked(pusht(3000, "all"), "so2")
    assert result.verdict == "consistent"
    assert result.all_seen
    assert result.seen_deg == [[0.0, 360.0]]
    assert result.coverage_symmetric
    assert result.region == []


def test_what_was_not_seen_cannot_be_told():
    """A wedge: consistent where it was seen, and no word about the rest."""
    result = checked(pusht(3000, "seen"), "so2", seed=2)
    assert result.verdict == "consistent"
    assert not result.all_seen
    assert 60 < sum(high - low for low, high in result.seen_deg) < 250
    assert "beyond that it cannot tell" in result.sentence
    assert not result.coverage_symmetric
    assert "within an arc" in result.augmentation


@pytest.mark.parametrize(
    ("make", "group"),
    [
        (field(1500, 2, 180.0, breaking=0.005), "so2"),
        (field(1500, 3, 90.0, breaking=0.02), "so3"),
        (glider(1500, drift=0.05), "o2"),
        (glider(1500, drift=0.05), "se2"),
        (glider(1500, drift=0.05), "c4"),
    ],
)
def test_breaks_are_found_under_every_kind_of_group(make, group):
    """Where the frame of the group depends on the state, as the handedness of a glider's, it may be left open."""
    result = checked(make, group)
    assert result.p_value <= 0.01
    assert result.verdict in (("broken", "cannot tell") if group in ("o2", "c4") else ("broken",))


def wind_along_the_mirror() -> Observed:
    return glider(3000, drift=0.05)(1)


def test_what_a_group_leaves_alone_does_not_break_it():
    """Wind along y breaks rotations, and not the mirror that negates x; wind along x does."""
    assert check_observed(wind_along_the_mirror(), Group.parse("mirrorx2")).verdict == "consistent"
    assert check_observed(wind_along_the_mirror(), Group.parse("mirrory2")).verdict == "broken"


def test_a_region_is_named():
    """A pull that acts in one corner of the lab alone."""
    data = glider(6000)(3)
    place = data.parts[0].now
    pull = torch.where((place[:, :1] > 1.0), 0.2, 0.0) * torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    parts = (replace(data.parts[0], change=data.parts[0].change + pull), *data.parts[1:])
    result = check_observed(replace(data, parts=parts), Group.parse("so2"))
    assert result.verdict == "broken"
    found = next(each for each in result.region if each.what == "place x from the centre")
    assert found.low > 0.0
    assert found.share > found.of_data


# What it does not


def turned(data: Observed, degrees: float) -> Observed:
    g: Elements = Group.parse("so2").rotation(degrees)
    parts = tuple(
        Part(
            part.name,
            part.rep,
            part.rep.transform(part.now, g),
            None if part.change is None else part.rep.linear_part.transform(part.change, g),
            part.unit,
        )
        for part in data.parts
    )
    return Observed(parts, data.episode, data.notes, data.source)


@pytest.mark.parametrize("group", ["so2", "se2", "o2"])
def test_a_turned_log_gives_the_same_answer(group):
    data = glider(1500, drift=0.01)(4)
    one, other = (check_observed(each, Group.parse(group)) for each in (data, turned(data, 117.0)))
    assert one.verdict == other.verdict
    assert one.p_value == pytest.approx(other.p_value, abs=0.002)
    for a, b in zip(one.channels, other.channels, strict=True):
        assert a.statistic == pytest.approx(b.statistic, rel=1e-3)


def goal_directed(seed: int) -> Observed:
    """Symmetric, and a fit that misses looks like a break: sharp outcomes, chosen by the lab's goal."""
    rng = np.random.default_rng(seed)
    count, steps = 60, 50
    angle = rng.uniform(0, 2 * np.pi, count)
    rows = []
    for _ in range(steps):
        wish = np.sin(0.8 - angle)  # everyone turns towards 0.8 rad
        grip = rng.normal(0, 1, (count, 6))
        sign = np.sign(wish + 0.3 * rng.normal(size=count))
        grip[:, 0] = np.abs(grip[:, 0]) * sign
        turn = 0.1 * np.sign(grip[:, 0]) * (np.abs(grip[:, 0]) > 0.7 + 0.3 * np.sin(3 * grip[:, 1]))
        heading = np.stack([np.cos(angle), np.sin(angle)], 1)
        after = np.stack([np.cos(angle + turn), np.sin(angle + turn)], 1)
        rows.append((heading, after - heading, grip))
        angle = angle + turn
    heading, change, grip = (torch.from_numpy(np.concatenate(part)) for part in zip(*rows, strict=True))
    parts = (
        Part("heading", Rep.parse("1o", 2), heading, change, "rad"),
        Part("grip", Rep.parse("6x0e", 2), grip, None),
    )
    return Observed(parts, np.tile(np.arange(count), steps), (), "goal")


@pytest.mark.parametrize("seed", range(4))
def test_a_fit_that_misses_is_no_break(seed):
    """The outcome is a sharp function of the state in its frame: the symmetry holds, and the fits cannot know it."""
    result = check_observed(goal_directed(seed), Group.parse("so2"), seed=seed)
    assert result.verdict != "broken"
    if result.p_value <= 0.05:
        assert result.verdict == "cannot tell"
        assert "depends on the state" in result.reasons[0]


def test_a_handedness_that_was_never_seen_cannot_be_told():
    result = checked(field(1500, 2, 360.0), "o2")
    assert not result.all_seen
    assert "of one handedness; beyond that it cannot tell" in result.sentence


def test_too_little_cannot_be_told():
    data = glider(100)(0)
    result = check_observed(data, Group.parse("so2"))
    assert result.verdict == "cannot tell"
    assert "100 transitions of 5 episodes" in result.sentence
    assert np.isnan(result.p_value)


def test_a_frame_that_the_state_fixes_cannot_be_told():
    """One orientation alone: nothing varies."""
    data = field(1500, 2, 360.0)(0)
    one = replace(data, parts=tuple(replace(part, now=part.now[:1] + 0.01 * part.now) for part in data.parts))
    assert check_observed(one, Group.parse("so2")).verdict != "broken"


def test_what_is_wrong_is_said():
    data = glider(400)(0)
    with pytest.raises(GroupError, match="permutes"):
        check_observed(data, Group.parse("s3"))
    with pytest.raises(GroupError, match="dimensions"):
        check_observed(data, Group.parse("so3"))
    with pytest.raises(DataError, match="one episode"):
        check_observed(replace(data, episode=np.zeros(400, np.int64)), Group.parse("so2"))
    scalars = replace(data, parts=data.parts[3:])
    with pytest.raises(DataError, match="no vector"):
        check_observed(scalars, Group.parse("so2"))
    vectors_alone = replace(data, parts=data.parts[1:])
    with pytest.raises(DataError, match="point"):
        check_observed(vectors_alone, Group.parse("se2"))
    still = replace(data.parts[0], change=torch.zeros_like(data.parts[0].now))
    with pytest.raises(DataError, match="nothing moves"):
        check_observed(replace(data, parts=(still, *data.parts[3:])), Group.parse("so2"))


# Its parts


@pytest.mark.parametrize("group", ["so2", "o2", "se2", "e2", "c4", "d3", "mirrorx2"])
def test_the_frame_turns_with_the_state_and_its_coordinates_do_not(group):
    data, found = glider(200)(5), Group.parse(group)
    g = found.sample(1, 3, sigma=2.0)[0]
    parts = tuple(
        replace(
            part,
            now=part.rep.transform(part.now, g),
            change=None if part.change is None else part.rep.linear_part.transform(part.change, g),
        )
        for part in data.parts
    )
    moved = replace(data, parts=parts)
    before, after = (frames_of(each, found) for each in (data, moved))
    torch.testing.assert_close(after.elements.linear, (g @ before.elements).linear)
    torch.testing.assert_close(after.elements.translation, (g @ before.elements).translation)
    for one, other in zip(in_frame(data, before)[1], in_frame(moved, after)[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    np.testing.assert_allclose(in_frame(data, before)[0], in_frame(moved, after)[0], atol=1e-9)


def test_the_adjoint_of_the_smoother_is_one():
    rng = np.random.default_rng(0)
    z, y, w = rng.normal(size=(60, 7)), rng.normal(size=(60, 2)), rng.normal(size=(60, 1))
    smoother = Smoother(z, np.arange(60) % 5)
    fit = smoother.fit(y)
    for k, penalty in enumerate(fit.penalty):
        adjoint = smoother.adjoint(w, float(penalty))
        assert float((w * fit.predicted[:, [k]]).sum()) == pytest.approx(float((adjoint * y[:, [k]]).sum()))
    constant = smoother.adjoint(w, CONSTANT)
    assert float(constant.sum()) == pytest.approx(float(w.sum()))


def test_the_law_of_the_largest_is_that_of_independent_sums():
    """500 families of 40 tests on pure noise: p is uniform."""
    rng = np.random.default_rng(1)
    signs = rng.choice([-1.0, 1.0], (DRAWS, 80))
    small = sum(family([whitened(rng.normal(size=(80, 20, 2)))], signs).p <= 0.05 for _ in range(200))
    assert binomtest(small, 200, 0.05).pvalue > 0.001


def test_arcs_go_round():
    angle = np.concatenate([np.linspace(350, 359.9, 100), np.linspace(0, 29.9, 300)])
    assert seen_arcs(angle, np.arange(400)) == [[350.0, 390.0]]


# The command


@pytest.fixture
def command(capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process: its status, what it printed, and what it said."""

    def ran(*arguments: str) -> tuple[int, str, str]:
        status = run(["check-data", *arguments])
        out, error = capsys.readouterr()
        return status, out, error

    return ran


def test_the_shown_logs(command):
    """equiwm check-data tests/data/pusht-drift.parquet --group so2, and its undrifted twin."""
    pytest.importorskip("pyarrow")
    status, out, _ = command(str(DATA / "pusht-drift.parquet"), "--group", "so2")
    assert status == 1
    assert out.startswith("BROKEN: The log REFUTES SO(2): in the lab's +x block moves")
    assert "\nsize: the mean over the log of what the fit of block, which explains 5" in out
    status, out, _ = command(str(DATA / "pusht-still.parquet"), "--group", "so2", "--json")
    assert status == 0
    found = json.loads(out)
    assert {"verdict", "p_value", "effect", "detectable", "seen_deg", "region"} <= set(found)
    assert found["verdict"] == "consistent"
    assert found["effect"] is None


def test_the_command_says_what_is_missing(command, tmp_path):
    log = tmp_path / "log.npz"
    np.savez(log, state=np.sin(np.arange(30.0)).reshape(15, 2), action=np.ones((15, 2)), episode=np.arange(15) // 5)
    for arguments, words in (
        ((str(log),), "--group"),
        ((str(log), "--group", "so2"), "--guess"),
        ((str(tmp_path / "no.npz"), "--guess"), "no such log"),
    ):
        status, _, said = command(*arguments)
        assert status == 2
        assert said.count("\n") <= 2
        assert words in said
    status, guessed, _ = command(str(log), "--guess")
    assert status == 0
    (tmp_path / "log.reps.yaml").write_text(guessed)
    for expected in ("broken", "consistent"):
        status, out, _ = command(str(log), "--group", "so2", "--expect", expected)
        assert status == 1
        assert out.startswith("CANNOT TELL")


FAULTS = {
    "nan": ("row 6", "nan"),
    "one": ("one episode",),
    "no actions": ("no actions",),
    "missing": ("'acton'", "action"),
    "unequal": ("unequal lengths", "240", "239"),
    "units": ("'place'", "unit jumps"),
    "twice": ("row 9", "duplicated"),
    "cut": ("cut off",),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_log_that_is_wrong_is_refused_in_a_line(fault, command, tmp_path):
    """File, column and row are named, the status is 2, and nothing is printed or written."""
    rng = np.random.default_rng(3)
    columns = {
        "state": rng.normal(size=(240, 2)).cumsum(0) * 0.02 + 1.0,
        "action": rng.normal(size=(240, 2)),
        "episode": np.arange(240) // 20,
    }
    reps: dict[str, object] = {
        "dimension": 2,
        "episodes": {"index": "episode"},
        "state": {"place": {"from": "state", "rep": "1o"}},
        "action": {"push": {"from": "acton" if fault == "missing" else "action", "rep": "1o"}},
    }
    if fault == "nan":
        columns["state"][6, 1] = np.nan
    elif fault == "one":
        columns["episode"][:] = 0
    elif fault == "no actions":
        reps["action"] = {}
    elif fault == "unequal":
        columns["action"] = columns["action"][:-1]
    elif fault == "units":
        columns["state"][120:] *= 1000.0
    elif fault == "twice":
        for values in columns.values():
            values[9] = values[8]
    if fault == "cut":
        pytest.importorskip("pyarrow")
        whole = (DATA / "pusht-still.parquet").read_bytes()
        log = tmp_path / "log.parquet"
        log.write_bytes(whole[: len(whole) // 2])
    else:
        log = tmp_path / "log.npz"
        np.savez(log, **columns)
    (tmp_path / "reps.yaml").write_text(json.dumps(reps))
    before = sorted(tmp_path.iterdir())
    status, out, said = command(str(log), "--group", "so2")
    assert (status, out) == (2, "")
    assert log.name in said
    assert all(word in said for word in FAULTS[fault]), said
    assert said.count("\n") <= 2
    assert "Traceback" not in said
    assert sorted(tmp_path.iterdir()) == before


def test_python_takes_paths_logs_and_transitions(tmp_path):
    world = PushT()
    data = world.transitions(400, seed=3, orientations="all")
    reps = {"observation_rep": world.observation_rep, "action_rep": world.action_rep}
    assert check_data(data, "so2", **reps).verdict == "consistent"
    with pytest.raises(DataError, match="observation_rep"):
        check_data(data, "so2")
    with pytest.raises(DataError, match="reps"):
        check_data(tmp_path / "log.npz", "so2")
    with pytest.raises(ConfigError, match="no such file"):
        check_data(tmp_path / "log.npz", "so2", reps=tmp_path / "reps.yaml")


# Calibration


def test_the_stored_calibration_keeps_its_targets():
    """False alarms 5% +- 2 over 400 symmetric sets of at least 4 worlds; power at least 0.95 at 2 px a step.

    PYTHONPATH=tests python -m calibration.run tests/data/check-data-calibration.csv
    """
    rows = rows_of(CALIBRATION)
    symmetric = [row for row in rows if row["stratum"] in STRATA]
    alarms = sum(row["verdict"] == "broken" for row in symmetric)
    assert len(symmetric) >= 400
    assert len({row["stratum"].split()[0] for row in symmetric}) >= 4
    assert 0.03 <= alarms / len(symmetric) <= 0.07
    for name, sets in (("pusht all 3000 drift 2 px", 10), ("pusht wedge 3000 drift 2 px", 50)):
        found = [row for row in rows if row["stratum"] == name]
        assert sum(row["verdict"] == "broken" for row in found) >= 0.95 * len(found), name
        assert len(found) >= sets, name
    assert max(float(row["seconds"]) for row in rows) < 60.0


def test_a_stored_row_is_what_is_measured():
    row = next(each for each in rows_of(CALIBRATION) if each["stratum"] == "glider all 1500")
    again = measured(row["stratum"], int(row["seed"]))
    assert (again["verdict"], again["p"]) == (row["verdict"], row["p"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*STRATA, *BROKEN])
def test_every_stratum_runs(name):
    assert measured(name, 1)["verdict"] in ("consistent", "broken", "cannot tell")


# Logs that nobody here made


HUMAN_REPS = {
    "dimension": 2,
    "episodes": {"ends": "episode_ends"},
    "rate": 10,
    "centre": [256, 256],
    "history": 1,
    "state": {
        "agent": {"from": "state", "entries": [0, 1], "rep": "p", "unit": "px"},
        "block": {"from": "state", "entries": [2, 3], "rep": "p", "unit": "px"},
        "turn": {"from": "state", "entries": [4], "rep": "angle", "unit": "rad"},
    },
    "action": {"target": {"from": "action", "rep": "p", "unit": "px"}},
}


@needs_human
@pytest.mark.slow
@pytest.mark.parametrize("group", ["so2", "se2"])
def test_human_demonstrations_cannot_tell(group, tmp_path):
    """People push to a goal of the lab: frame and state depend on each other. npz, Zarr and a turned copy agree."""
    pytest.importorskip("zarr")
    folder, spec = Path(HUMAN), parse_spec(HUMAN_REPS, "reps")
    one = check_data(folder / "pusht_human.npz", group, reps=spec)
    assert one.verdict == "cannot tell"
    assert "depends on the state" in one.sentence
    other = check_data(folder / "replay.zarr", group, reps=spec)
    assert (other.verdict, other.p_value) == (one.verdict, one.p_value)
    raw = dict(np.load(folder / "pusht_human.npz"))
    a = np.deg2rad(130.0)
    matrix = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    state = raw["state"].astype(np.float64)
    for at in (slice(0, 2), slice(2, 4)):
        state[:, at] = (state[:, at] - 256) @ matrix.T + 256
    state[:, 4] = (state[:, 4] + a) % (2 * np.pi)
    np.savez(
        tmp_path / "turned.npz",
        state=state,
        action=(raw["action"] - 256) @ matrix.T + 256,
        episode_ends=raw["episode_ends"],
    )
    third = check_data(tmp_path / "turned.npz", group, reps=spec)
    assert third.verdict == one.verdict
    assert third.p_value == pytest.approx(one.p_value, abs=0.003)


def test_a_frame_of_a_pose_in_space(tmp_path):
    """A quaternion gives three vectors, and a log in space under so2z is judged by its horizontal part."""
    rng = np.random.default_rng(2)
    n = 1200
    quat = rng.normal(size=(n, 4))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    velocity = rng.normal(size=(n, 3))
    steps = (velocity * 0.1 + [0.0, 0.02, 0.0]).reshape(n // 20, 20, 3)
    place = np.cumsum(steps, 1).reshape(n, 3)
    columns = {name: list(values) for name, values in (("q", quat), ("place", place), ("action", velocity))}
    pytest.importorskip("pyarrow")
    pd.DataFrame({**columns, "episode": np.arange(n) // 20}).to_parquet(tmp_path / "log.parquet")
    spec = parse_spec(
        {
            "dimension": 3,
            "episodes": {"index": "episode"},
            "state": {"place": {"rep": "p", "unit": "m"}, "pose": {"from": "q", "rep": "quat"}},
            "action": {"push": {"from": "action", "rep": "1o"}},
        },
        "reps",
    )
    result = check_data(tmp_path / "log.parquet", "so2z", reps=spec)
    assert result.p_value <= 0.01
    assert result.effect is not None
    assert result.effect.column == "place"
    assert abs(result.effect.direction[2]) < 1e-9
