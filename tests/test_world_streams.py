"""Data of every world are what they were: draws of small sets against digests stored when the streams were fixed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from equiwm.config import WorldConfig
from equiwm.errors import DataError, MissingExtraError
from equiwm.worlds.body.config import BodyConfig
from equiwm.worlds.cloud.config import CloudConfig
from equiwm.worlds.factory import build_world
from equiwm.worlds.field.config import FieldConfig
from equiwm.worlds.pusht.config import PushTConfig

STORED = json.loads((Path(__file__).parent / "data" / "world_streams.json").read_text(encoding="utf-8"))
CONFIGS: dict[str, WorldConfig] = {
    "pusht": PushTConfig(),
    "pusht-body-x": PushTConfig(direction="body_x", wedge=(-30.0, 200.0)),
    "cloud": CloudConfig(),
    "cloud-separate": CloudConfig(action="separate", points=7, wedge=(20.0, 50.0)),
    "cloud-breaking": CloudConfig(breaking=0.3),
    "body": BodyConfig(),
    "body-pyramidal": BodyConfig(cone="pyramidal", wedge=(10.0, 300.0)),
    "field-2d": FieldConfig(),
    "field-2d-quarter": FieldConfig(coverage=90.0, breaking=0.5, warmup=3),
    "field-2d-circle": FieldConfig(coverage=360.0),
    "field-3d": FieldConfig(dimension=3),
    "field-3d-wedge": FieldConfig(dimension=3, coverage=0.0, warmup=2),
    "field-3d-ball": FieldConfig(dimension=3, coverage=40.0),
    "field-3d-whole": FieldConfig(dimension=3, coverage=180.0),
}


def digest(*arrays) -> dict:
    """The bits of the arrays, and one weighted sum of each, which another processor's rounding hardly changes."""
    hashed, projection = hashlib.sha256(), []
    for given in arrays:
        array = np.ascontiguousarray(np.asarray(given))
        hashed.update(str(array.shape).encode())
        hashed.update(array.tobytes())
        flat = array.astype(np.float64).ravel()
        projection.append(float((flat * np.cos(np.arange(flat.size))).sum()))
    return {"sha256": hashed.hexdigest()[:16], "projection": projection}


def canary() -> dict:
    """Arithmetic whose bits depend on processor and libraries: where they differ, those of the data may."""
    m = np.random.default_rng(0).normal(size=(40, 3, 3))
    t = torch.from_numpy(m)
    waves = np.sin(m), np.cos(m), np.exp(m), np.arctan2(m[0], m[1])
    return digest(np.linalg.svd(m)[0], m @ m.swapaxes(1, 2), *waves, torch.linalg.svd(t)[0], t @ t)


def drawn(world, kind: str, seed: int, orientations) -> tuple:
    if kind == "transitions":
        data = world.transitions(12, seed=seed, orientations=orientations)
        return data.observation, data.action, data.next_observation, data.episode
    if kind == "sequences":
        data = world.sequences(5, 3, seed=seed, orientations=orientations)
        return data.observations, data.actions, data.episode
    tasks = world.tasks(3, seed=seed, orientations=orientations)
    return tasks.start, tasks.goal


@pytest.mark.parametrize("name", CONFIGS)
def test_draws_are_what_they_were(name):
    try:
        world = build_world(CONFIGS[name])
    except MissingExtraError as error:
        pytest.skip(str(error))
    same_machine = canary()["sha256"] == STORED["canary"]["sha256"]
    checked = 0
    for key, stored in STORED.items():
        if key.split(",")[0] != name:
            continue
        _, kind, orientations, seed = key.split(",")
        arguments = kind, int(seed.removeprefix("seed=")), orientations
        checked += 1
        if "error" in stored:
            with pytest.raises(DataError, match="none is unseen"):
                drawn(world, *arguments)
            continue
        found = digest(*drawn(world, *arguments))
        assert found["projection"] == pytest.approx(stored["projection"], abs=1e-7, rel=1e-9), key
        assert found["sha256"] == stored["sha256"] or not same_machine, key
    assert checked >= 12
