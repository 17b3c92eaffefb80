"""Passes over all training data go part by part: the same as in one piece, to rounding."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from equiwm.audit.spread import latent_spread, spread_in_parts
from equiwm.claims.sweep import measure, readout
from equiwm.claims.sweep.readout import Lazy, fit_readout, fit_readouts
from equiwm.config import load
from equiwm.models.factory import build_model
from equiwm.symmetry.reps import vectors
from equiwm.training import objective
from equiwm.training import run as training_run
from equiwm.training.data import parts_of
from equiwm.training.fit import Fit
from equiwm.training.objective import Forward
from equiwm.worlds.factory import build_world

SIZE = 97


def small_parts(n: int) -> list[slice]:
    return parts_of(n, SIZE)


@pytest.fixture
def in_parts(monkeypatch) -> None:
    """Every pass takes at most 97 rows at once."""
    for module in (measure, readout, objective, training_run):
        monkeypatch.setattr(module, "parts_of", small_parts)


def test_parts_are_every_row_once():
    for n in (0, 1, 96, 97, 98, 500):
        parts = parts_of(n, SIZE)
        assert [row for part in parts for row in range(part.start, part.stop)] == list(range(n))
        assert all(part.stop - part.start <= SIZE for part in parts)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_spread_in_parts_is_the_spread(rank):
    generator = torch.Generator().manual_seed(rank)
    z = 5.0 + torch.randn(500, rank, generator=generator) @ torch.randn(rank, 8, generator=generator)

    def give() -> Iterator[torch.Tensor]:
        return (z[part] for part in small_parts(len(z)))

    whole, found = latent_spread(z), spread_in_parts(give)
    assert found.latent_std == pytest.approx(whole.latent_std, rel=1e-12)
    assert found.effective_rank == pytest.approx(whole.effective_rank, rel=1e-6)
    assert found.effective_rank == pytest.approx(rank, abs=rank - 0.9)


@pytest.mark.parametrize("commutant", [True, False])
def test_a_readout_in_parts_is_the_readout(commutant, in_parts, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(500, 8, generator=generator, dtype=torch.float64)
    target = latent.reshape(500, 4, 2)[:, :2] + 0.1 * torch.randn(500, 2, 2, generator=generator, dtype=torch.float64)
    asked: list[slice] = []

    def give(part: slice) -> torch.Tensor:
        asked.append(part)
        return latent[part]

    episode = torch.arange(500) // 10
    found = fit_readout(Lazy(500, give), target, episode, rep=vectors(4, 2), commutant=commutant)
    assert max(part.stop - part.start for part in asked) == SIZE
    monkeypatch.setattr(readout, "parts_of", parts_of)
    whole = fit_readout(latent, target, episode, rep=vectors(4, 2), commutant=commutant)
    assert found.penalty == whole.penalty
    assert torch.allclose(found.weights, whole.weights, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("commutant", [True, False])
def test_several_targets_are_each_alone_bit_by_bit_and_encoded_once_a_pass(commutant, in_parts):
    generator = torch.Generator().manual_seed(0)
    latent = torch.randn(500, 8, generator=generator, dtype=torch.float64)
    noise = torch.randn(500, 3, 2, generator=generator, dtype=torch.float64)
    targets = {"clean": latent.reshape(500, 4, 2)[:, :1], "noisy": noise}
    encoded, episode = [0], torch.arange(500) // 10

    def encode(part: slice) -> torch.Tensor:
        encoded[0] += part.stop - part.start
        return latent[part]

    together = fit_readouts(
        Lazy(500, encode),
        lambda part: {name: each[part] for name, each in targets.items()},
        episode,
        rep=vectors(4, 2),
        commutant=commutant,
    )
    assert encoded[0] == 3 * 500 + 1  # three passes, and a row for the widths
    assert list(together) == list(targets)
    for name, target in targets.items():
        alone = fit_readout(latent, target, episode, rep=vectors(4, 2), commutant=commutant)
        assert together[name].penalty == alone.penalty
        assert torch.equal(together[name].weights, alone.weights)
    assert together["clean"].penalty != together["noisy"].penalty


def test_a_latent_that_is_not_finite_in_one_part_reads_out_nothing(in_parts):
    latent = torch.randn(300, 8, dtype=torch.float64)
    latent[250] = torch.inf
    found = fit_readout(latent, latent.reshape(300, 4, 2), torch.arange(300), rep=vectors(4, 2), commutant=True)
    assert bool(found(latent[:5]).isnan().all())


def test_a_training_from_float64_is_that_from_float32_bit_by_bit():
    """What is cast batch by batch is what was cast before."""
    for preset in ("vn-2d", "vn-2d-forward"):
        config = load(preset, None, ["training.transitions=200", "training.epochs=1", "training.batch=64"])
        world = build_world(config.world)
        data = world.transitions(200, seed=0)
        weights = []
        for given in (data, data.to(torch.float32, "cpu")):
            model = build_model(config.model, world.observation_rep, world.action_rep, seed=0, group=world.group)
            Fit(config.training, model, given, seed=0).run_epoch()
            weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
        assert torch.equal(*weights)


def test_the_weights_of_channels_in_parts_are_the_weights(in_parts, monkeypatch):
    config = load("vn-2d-forward")
    world = build_world(config.world)
    encoder = build_model(config.model, world.observation_rep, world.action_rep, seed=0, group=world.group).encoder
    data = world.transitions(300, seed=0)
    found = Forward(encoder, data).weight
    monkeypatch.setattr(objective, "parts_of", parts_of)
    assert torch.allclose(found, Forward(encoder, data).weight, rtol=1e-12)
