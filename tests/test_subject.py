"""A subject made by hand is measured by the same claims as a run, and saved as one."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch import nn

from equiwm import Subject, load_run, save_subject
from equiwm.claims.residual.measure import verify
from equiwm.claims.residual.view import verify_tables
from equiwm.claims.sweep.measure import Readouts, sweep
from equiwm.claims.sweep.view import sweep_tables
from equiwm.config import load, parse
from equiwm.errors import ConfigError, DataError, GroupError, RepError, RunError
from equiwm.results.measured import Measured
from equiwm.symmetry.groups import SO2
from equiwm.training.data import training_data, transitions_of
from equiwm.training.run import prepare_run, train_run
from equiwm.worlds.cloud.world import Cloud
from equiwm.worlds.field.world import Field
from equiwm.worlds.scene import Scene
from equiwm.worlds.world import Sequences

FEW = {"bins": 4, "transitions": 40}


class Linear(nn.Module):
    """s' from a state of vectors and an action by one matrix over channels: equivariant, and no layer of ours."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__()
        self.weight = nn.Parameter(
            0.3 * torch.randn(channels, channels + 1, generator=torch.Generator().manual_seed(0))
        )

    def forward(self, observation, action):
        joined = torch.cat([observation, action.reshape(len(observation), -1, observation.shape[-1])], 1)
        return observation + self.weight @ joined


class Lab(Linear):
    """The same, which also looks at the lab's x axis."""

    def forward(self, observation, action):
        moved = super().forward(observation, action)
        return moved + torch.tensor([0.5, 0.0], dtype=moved.dtype)


class Latent(nn.Module):
    """Encoder and predictor in one module, with a latent of its own."""

    def __init__(self, latent_rep: str | None = "12x1o") -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(12, 6, generator=torch.Generator().manual_seed(1)))
        self.second = nn.Parameter(0.1 * torch.randn(12, 13, generator=torch.Generator().manual_seed(2)))
        if latent_rep is not None:
            self.latent_rep = latent_rep

    def encode(self, observation):
        return (self.first @ observation).flatten(1)

    def predict(self, latent, action):
        z = latent.unflatten(1, (12, 2))
        joined = torch.cat([z, action.reshape(len(z), 1, 2)], 1)
        return (z + self.second @ joined).flatten(1)


@pytest.mark.parametrize("network", [Linear, Latent])
def test_an_ordinary_module_is_measured_by_every_one_step_claim(network):
    subject = Subject(network().double(), Field(), initial=network().double(), transitions=200)
    result = sweep(subject, **FEW)
    assert result.flatness < 1e-10
    assert subject.model.latent_is_state == (network is Linear)


def test_a_module_that_looks_at_the_lab_is_not_flat():
    assert sweep(Subject(Lab().double(), Field(), transitions=200), **FEW).flatness > 1e-3


class Points(Scene):
    """Two points and their velocities, pushed; `wind` blows along x wherever the scene is turned to."""

    group, observation_rep, action_rep = "se2", "2xp+2x1o", "1o"
    components = {"hand": 0, "speed": 2}  # noqa: RUF012
    wind = 0.0

    def start(self, rng):
        return rng.normal(size=(4, 2))

    def step(self, observation, action):
        place, speed = observation.chunk(2, -2)
        blows = self.wind * torch.tensor([1.0, 0.0], dtype=torch.float64)
        speed = speed + 0.1 * (action[:, None] + blows)
        return torch.cat([place + 0.1 * speed, speed], -2)


class Windy(Points):
    wind = 3.0


class Known(nn.Module):
    """Knows the dynamics of still air."""

    def forward(self, observation, action):
        return Points().step(observation, action)


class Still(nn.Module):
    def forward(self, observation, action):
        return observation


@pytest.mark.parametrize(("network", "error"), [(Known, 0.0), (Still, 1.0)])
def test_the_error_at_a_point_is_the_same_wherever_the_scene_stands(network, error):
    result = sweep(Subject(network(), Points(), transitions=60), **FEW)
    assert result.symmetry_excess is None
    for entry in result.bins:
        assert entry.components == pytest.approx({"hand": error, "speed": error}, abs=1e-3)


def test_a_world_that_does_not_carry_the_group_it_says_is_stepped_afresh_and_named():
    """Its outcome turned with the scene is none of its own: a model that is flat on such sets is not flat in it."""
    assert Windy().equivariant
    result = sweep(Subject(Known(), Windy(), transitions=60), **FEW)
    excess = result.symmetry_excess
    assert excess is not None
    assert (excess.world_symmetric, excess.model_symmetric, excess.agree) == (False, True, False)
    assert "its world does not carry SE2" in sweep_tables(Measured(result), "windy")[1].notes[0]
    with pytest.raises(GroupError, match="c1 changes neither"):  # the group of one element every world carries
        sweep(Subject(Known(), Windy(), transitions=60), group="c1", **FEW)


@pytest.mark.parametrize("world", [Field(), Cloud()])
def test_our_worlds_carry_what_they_say(world):
    assert (
        sweep(Subject(Linear(world.observation_rep.multiplicity), world, transitions=60), **FEW).symmetry_excess is None
    )


def test_a_subject_by_hand_is_verified(tmp_path):
    subject = Subject(Linear().double(), Field(), name="mine")
    result = verify(subject, samples=8, transitions=32)
    assert result.passed
    assert result.init is None
    assert math.isnan(result.weights_moved)
    assert "–" in verify_tables(Measured(result), "mine")[-1].markdown()
    untrained = verify(Subject(Linear().double(), Field(), initial=Linear().double()), samples=8, transitions=32)
    assert untrained.verdict == "not judged"
    assert result.trained.composed < 1e-12
    assert result.control.composed > 0.01
    broken = verify(Subject(Lab().double(), Field(), initial=Linear().double()), samples=8, transitions=32)
    assert not broken.passed


def test_what_a_subject_by_hand_lacks_is_named():
    subject = Subject(Linear(), Field(), name="mine")
    with pytest.raises(DataError, match=r"mine was built by hand.*initial="):
        subject.initial_model()
    with pytest.raises(RunError, match=r"mine was built by hand; save it first"):
        _ = subject.stored
    with pytest.raises(RepError, match=r"Latent has no latent_rep"):
        Subject(Latent(None), Field())
    model = Subject(Linear(6), Cloud()).model
    with pytest.raises(RepError, match=r"Linear, given \(2, 24, 3\), \(2, 3\), raised RuntimeError: mat1 and mat2"):
        model(torch.zeros(2, 24, 3), torch.zeros(2, 3))


MODULE = """
from tests_subject_nets_base import Linear, Latent

def linear(config, observation_rep, action_rep):
    return Linear()

def latent(config, observation_rep, action_rep):
    return Latent()
"""


@pytest.fixture
def own_nets(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "subject_nets.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.setitem(sys.modules, "tests_subject_nets_base", sys.modules[__name__])
    yield "subject_nets"
    sys.modules.pop("subject_nets", None)


def test_a_subject_is_saved_as_a_run_with_its_own_data(own_nets, tmp_path):
    """What it was trained on comes back with it, and so does every figure."""
    field = {"name": "field", "dimension": 2}
    config = parse({"world": field, "model": {"module": f"{own_nets}:latent"}})
    data = Field().transitions(150, seed=77, orientations="all")
    subject = Subject(Latent(), Field(), train=data)
    run = save_subject(subject, tmp_path / "runs", "mine", config=config)
    loaded = load_run(run.path, torch.float64)
    assert torch.equal(loaded.train.observation, data.observation)
    again = sweep(loaded, **FEW)
    assert again.flatness < 1e-10
    by_hand = sweep(Subject(Latent().double(), Field(), train=data), **FEW)
    assert by_hand.seen == pytest.approx(again.seen, rel=1e-6)  # weights pass through float32
    with pytest.raises(RunError, match="exists"):
        save_subject(subject, tmp_path / "runs", "mine", config=config)


def test_a_configuration_of_another_model_is_refused_and_nothing_is_written(tmp_path):
    subject = Subject(Latent(), Field())
    with pytest.raises(ConfigError, match="builds another model"):
        save_subject(subject, tmp_path, "mine", config=load("vn-field-2d"))
    with pytest.raises(ConfigError, match="pass config="):
        save_subject(subject, tmp_path, "mine")
    assert not list(tmp_path.iterdir())


def test_readouts_are_fitted_on_what_was_trained_on(tmp_path):
    """With sequences too: every pair of the training is one of the read-out's, and the other way round."""
    few = ("training.transitions=64", "training.horizon=4", "training.batch=8", "training.epochs=1")
    run = prepare_run(load("vn-3d", None, few), tmp_path, "run", seed=0, resume=False)
    train_run(run, device=torch.device("cpu"))
    loaded = load_run(run.path)
    recipe = training_data(run.config.training, loaded.world, seed=0)
    assert isinstance(recipe, Sequences)
    trained = transitions_of(recipe)
    fitted = Readouts.of_run(loaded).train
    assert len(fitted) == 64
    assert torch.equal(fitted.observation, trained.observation)
    assert torch.equal(fitted.action, trained.action)
    assert torch.equal(trained.next_observation[0], trained.observation[1])  # in order of time, episode by episode
    assert trained.episode.unique_consecutive().tolist() == recipe.episode.tolist()


def test_data_given_by_hand_is_turned_by_nobody():
    data = Field().transitions(20, seed=3)
    subject = Subject(Linear(), Field(), train=data)
    assert subject.train is data
    turned = data.transform(SO2.rotation(90.0), Field().observation_rep, Field().action_rep)
    assert not torch.equal(turned.observation, subject.train_transitions.observation)
