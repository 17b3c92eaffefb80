"""`check-world` on Gymnasium's MuJoCo bodies: actions read off the model, causes by name, repairs that mend."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from equiwm.cli.main import run
from equiwm.errors import ConfigError, GroupError
from equiwm.evidence.world.check import check_world

pytest.importorskip("mujoco")
pytest.importorskip("imageio")  # gymnasium imports it for its MuJoCo environments, whether they are drawn or not

from equiwm.environments.making import make_environment
from equiwm.evidence.world.bodies import body_probe, mended, offered
from equiwm.evidence.world.doctor import _flipped, _own, diagnosed
from equiwm.evidence.world.signed_map import as_text, entry_names
from equiwm.evidence.world.survey import survey

BRIEF = {"states": 6, "copies": 1, "horizons": (1, 5, 20)}


def verdict(name, group, *settings, **more):
    return check_world(body_probe(name, group, settings), **{**BRIEF, **more})


def test_walker2d_v4_is_broken_by_its_feet():
    result = verdict("Walker2d-v4", "mirror")
    assert result.verdict == "broken"
    (cause,) = result.causes
    assert cause.text == "friction of geom 'foot_left_geom' is 1.9, of 'foot_geom' 0.9."
    assert cause.repair == "--set geom.foot_geom.friction=1.9,0.1,0.1"
    assert "foot_geom" in result.region.where
    probe = mended("Walker2d-v4", "mirror", result.causes, [])
    assert check_world(probe, **BRIEF).verdict == "exact"


def test_walker2d_v5_is_exact():
    result = verdict("Walker2d-v5", "mirror")
    assert (result.verdict, result.reward.verdict, result.observation.verdict) == ("exact", "exact", "exact")
    assert result.causes == []


def test_humanoid_under_turns_is_broken_by_its_cones_and_paid_along_x():
    result = verdict("Humanoid-v5", "so2z", states=12)
    assert (result.verdict, result.reward.verdict) == ("broken", "broken")
    (cause,) = result.causes
    assert (cause.name, cause.repair) == ("cones", "--set option.cone=elliptic")
    assert verdict("Humanoid-v5", "so2z", "option.cone=elliptic").verdict == "exact"


def test_humanoid_under_its_mirror_has_three_causes():
    result = verdict("Humanoid-v5", "mirror", horizons=(1,))
    assert {cause.name for cause in result.causes} == {"armature", "stiffness", "solver"}
    probe = mended("Humanoid-v5", "mirror", result.causes, [])
    assert check_world(probe, **{**BRIEF, "horizons": (1, 5)}).verdict == "exact"


@pytest.mark.parametrize(
    ("name", "group", "cause"),
    [
        ("InvertedPendulum-v5", "mirror", "geometry"),
        ("InvertedDoublePendulum-v5", "mirror", "gravity"),
    ],
)
def test_small_breaks_are_named_and_mended(name, group, cause):
    result = verdict(name, group)
    assert result.verdict in ("approximate", "broken")
    assert [each.name for each in result.causes] == [cause]
    assert check_world(mended(name, group, result.causes, []), **BRIEF).verdict == "exact"


@pytest.mark.parametrize(
    ("setting", "cause"),
    [
        ("geom.foot_geom.friction=1.89", "friction"),
        ("joint.leg_joint.damping=0.11", "damping"),
        ("joint.leg_joint.armature=0.011", "armature"),
        ("joint.leg_joint.range=-140,0", "joint range"),
        ("geom.leg_geom.size=0.041", "size"),
        ("geom.thigh_geom.solref=0.03", "contact softness (solref)"),
        ("body.foot.pos=0.21,0,-0.35", "geometry"),
        ("joint.leg_joint.stiffness=1", "stiffness"),
        ("actuator.leg_joint.gear=101", "gear"),
        ("actuator.leg_joint.ctrlrange=-0.9,1", "control range"),
    ],
)
def test_planted_differences_are_named(setting, cause):
    probe = body_probe("Walker2d-v5", "mirror", [setting])
    drawn = probe.symmetry.sample(8, 0)
    assert cause in {each.name for each in probe.causes(drawn)}, setting
    assert {each.name for each in body_probe("Walker2d-v5", "mirror").causes(drawn)} == {"cones"}, "a guess, if asked"


def test_what_models_offer():
    assert offered(make_environment("Walker2d-v5")) == ["mirror", "shiftx"]
    assert offered(make_environment("Swimmer-v5")) == ["mirror", "so2z", "shiftxy"]
    assert offered(make_environment("HalfCheetah-v5")) == ["shiftx"]


@pytest.mark.parametrize(
    ("name", "group", "words"),
    [
        ("InvertedPendulum-v5", "se2z", "slides in too few directions"),
        ("Walker2d-v5", "so2z", "slides in too few directions"),
        ("Reacher-v5", "se2z", "fixed in the world"),
        ("Ant-v5", "so2", "lives in space"),
        ("Ant-v5", "shiftq", "translations are along axes"),
    ],
)
def test_motions_that_a_body_cannot_take_up(name, group, words):
    with pytest.raises(GroupError, match=words):
        body_probe(name, group)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("option.cone=round", "one of pyramidal, elliptic"),
        ("option.cones=elliptic", "no such attribute"),
        ("cone=elliptic", "expected option.KEY=VALUE"),
        ("geom.foot_geo.friction=1", "did you mean foot_geom"),
        ("geom.foot_geom.friction=1,2,3,4", "at most 3 numbers"),
        ("geom.foot_geom.friction=much", "expected numbers"),
        ("geom.foot_geom.friction", "expected option.KEY=VALUE"),
    ],
)
def test_settings_that_a_model_has_not(setting, words):
    with pytest.raises(ConfigError, match=words):
        body_probe("Walker2d-v5", "mirror", [setting])


def test_the_command_prints_one_json_and_leaves_nothing(tmp_path, monkeypatch, capfd):
    """MuJoCo would print its warnings among the results, and write a log into the folder."""
    monkeypatch.chdir(tmp_path)
    arguments = ["check-world", "gym:InvertedPendulum-v5", "--group", "mirror", "--states", "4", "--horizons", "1,5"]
    assert run([*arguments, "--json"]) == 1
    said = json.loads(capfd.readouterr().out)
    assert [cause["repaired"] for cause in said["causes"]] == ["exact"]
    make_environment("Humanoid-v5")
    assert capfd.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_on_a_body(tmp_path, capsys):
    probe = body_probe("Walker2d-v5", "mirror")
    states = entry_names(probe.columns(18), 18)
    true = _own(probe, 18, 6)
    assert true is not None
    bad = replace(true, action=_flipped(true.action, 2))
    motors = list(probe.action_channels)
    path = tmp_path / "mirror.yaml"
    path.write_text(as_text(bad, states, motors))
    command = ["check-world", "gym:Walker2d-v5", "--group", "mirror", "--states", "4", "--horizons", "1"]
    assert run([*command, "--map", str(path)]) == 1
    shown = capsys.readouterr().out
    assert "map: wrong in action foot_joint." in shown
    assert '"foot_joint": "foot_left_joint"' in shown
    path.write_text(as_text(true, states, motors))
    assert run([*command, "--map", str(path)]) == 0


@pytest.mark.slow
def test_a_hundred_faults_in_the_maps_of_four_bodies():
    rng = np.random.default_rng(1)
    count = dict.fromkeys(("found", "named", "repaired"), 0)
    for name in ("Walker2d-v5", "Ant-v5", "Swimmer-v5", "Reacher-v5"):
        probe = body_probe(name, "mirror")
        width, motors = probe.starts(2, 0).shape[1], probe.plans(2, 1, 0).shape[2]
        true = _own(probe, width, motors)
        names = entry_names(probe.columns(width), width), list(probe.action_channels)
        for _ in range(25):
            which = "state" if rng.random() < 0.6 else "action"
            matrix = getattr(true, which)
            places = np.arange(len(matrix))
            kind = rng.integers(3)
            if kind == 0:
                wrong = _flipped(matrix, int(rng.integers(len(matrix))))
            else:  # an exchange of two, an order of three
                chosen = rng.choice(len(matrix), min(int(kind) + 1, len(matrix)), replace=False)
                places[chosen] = np.roll(chosen, 1)
                wrong = matrix[places]
            found = diagnosed(probe, replace(true, **{which: wrong}))
            off = np.flatnonzero((wrong != matrix).any(1))
            expected = {names[0][k] if which == "state" else f"action {names[1][k]}" for k in off}
            count["found"] += not found.agrees
            count["named"] += set(found.disagree) == expected
            count["repaired"] += found.repaired == as_text(true, *names)
    assert count["found"] == 100
    assert count["named"] >= 95
    assert count["repaired"] >= 90


@pytest.mark.slow
def test_the_published_table(tmp_path):
    """`docs/worlds.md`, made anew: the same verdicts and causes, at most 10 CPU seconds a body."""
    published = Path(__file__).resolve().parents[1] / "docs" / "worlds.json"
    stored = json.loads(published.read_text(encoding="utf-8"))
    survey(tmp_path / "worlds.md", seed=stored["seed"], resume=False, say=lambda text: None)
    made = json.loads((tmp_path / "worlds.json").read_text(encoding="utf-8"))
    for key, row in stored["rows"].items():
        assert made["rows"][key]["verdict"] == row["verdict"], key
        assert [each["text"] for each in made["rows"][key]["causes"]] == [each["text"] for each in row["causes"]], key
    assert set(made["rows"]) == set(stored["rows"])
    assert max(row["seconds"] for row in made["rows"].values()) < 10.0
