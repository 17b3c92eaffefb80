"""The e3nn encoder, and where the residual comes from that the paper calls architectural."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from equiwm.audit.audit import audit
from equiwm.audit.pooled import PooledResidual, equivariance_residual
from equiwm.audit.probe import Probe
from equiwm.config import load
from equiwm.errors import ConfigError, MissingExtraError, RepError
from equiwm.models.e3nn_encoder import E3nnEncoder
from equiwm.models.factory import build_model
from equiwm.models.world_model import WorldModel
from equiwm.symmetry.groups import SE3, SO3, Elements
from equiwm.symmetry.reps import Rep, vectors
from equiwm.worlds.cloud.world import Cloud

CLOUD, ACTION, LATENT = Rep.parse("24xp", 3), vectors(1, 3), vectors(16, 3)


def build(dtype: torch.dtype = torch.float32, seed: int = 0) -> WorldModel:
    return build_model(load("e3nn-3d").model, CLOUD, ACTION, seed=seed, dtype=dtype)


@pytest.fixture(scope="module")
def observation() -> Tensor:
    return Cloud().transitions(128, seed=3).observation


def residual(model: WorldModel, g: Elements, x: Tensor) -> PooledResidual:
    return equivariance_residual(model.encode, [CLOUD], LATENT, g, [x])


def test_without_e3nn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "e3nn", None)
    with pytest.raises(MissingExtraError, match=r"^the encoder 'e3nn' needs e3nn: pip install 'equiwm\[e3nn\]'$"):
        build()


def test_the_rest_does_not_import_e3nn():
    import subprocess

    code = "import sys, equiwm.models.factory; sys.exit('e3nn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestWithE3nn:
    """Everything below needs the extra."""

    @pytest.fixture(autouse=True)
    def _needs_e3nn(self) -> None:
        pytest.importorskip("e3nn")
        torch.manual_seed(0)

    def test_the_floor_is_the_dtypes(self, observation):
        g, rough = SE3.sample(32, 1000), SE3.sample(32, 1000, sigma=10.0)
        double, single = residual(build(torch.float64), g, observation), residual(build(), g, observation.float())
        assert double.output_spread > 0.1
        assert double.relative <= 1e-12
        assert single.relative <= 2e-6
        assert residual(build(), rough, observation.float()).relative <= 1e-5

    def test_where_the_papers_floor_comes_from(self, observation):
        """In float64: nothing is left but what was rounded to float32 before, constants (1e-8) or rotation (1e-6)."""
        g = SO3.sample(32, 1000)
        # A rotation built in float32, as exp of a float32 generator; the model and the probe are float64.
        vector = torch.randn(32, 3)
        zero = torch.zeros(32)
        generator = torch.stack(
            [zero, -vector[:, 2], vector[:, 1], vector[:, 2], zero, -vector[:, 0], -vector[:, 1], vector[:, 0], zero], 1
        ).reshape(32, 3, 3)
        rounded = Elements(torch.linalg.matrix_exp(generator).double(), g.translation)
        exact = residual(build(torch.float64), g, observation)
        cast_up = residual(build().double(), g, observation)
        rotation = residual(build(torch.float64), rounded, observation)
        assert exact.max_abs <= 1e-12
        assert 1e-10 <= cast_up.relative <= 1e-7
        assert 1e-7 <= rotation.max_abs <= 1e-4
        assert rotation.relative > 5 * cast_up.relative

    def test_a_float32_checkpoint_does_not_round_a_float64_model(self, observation):
        model = build(torch.float64, seed=1)
        model.load_state_dict(build(seed=2).state_dict())
        assert residual(model, SO3.sample(16, 1000), observation).relative <= 1e-12
        x = observation.float()
        assert torch.allclose(model.encode(observation).float(), build(seed=2).encode(x), atol=1e-4)
        assert set(build().encoder.state_dict()) == {"mix.weight", "product.weight"}

    def test_copies_and_gradients(self, observation):
        model = build()
        copied, x = copy.deepcopy(model), observation.float()
        assert torch.equal(copied.encode(x), model.encode(x))
        assert set(copied.state_dict()) == set(model.state_dict())
        copied.encode(x).square().sum().backward()
        assert all(parameter.grad is not None for parameter in copied.encoder.parameters() if parameter.numel())
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_a_point_at_the_centroid_has_a_finite_gradient(self):
        x = torch.zeros(1, 24, 3)
        x[0, :12, 0], x[0, 12:-2, 0] = 1.0, -1.0
        x[0, -2, 0], x[0, -1] = -2.0, 0.0
        x.requires_grad_()
        build().encode(x).square().sum().backward()
        assert torch.isfinite(x.grad).all()

    def test_scale_is_kept(self, observation):
        encode = build(torch.float64).encode
        centred = observation - observation.mean(1, keepdim=True)
        assert torch.allclose(encode(2.0 * centred), 4.0 * encode(centred), atol=1e-10)

    def test_the_papers_size(self):
        model = build()
        assert sum(parameter.numel() for parameter in model.encoder.parameters()) == 2_432
        assert model.parameter_count == 16_832  # the paper's has 16,856
        assert model.equivariant

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_nothing_global_is_left_behind(self, dtype):
        import e3nn

        state, settings = torch.get_rng_state(), dict(e3nn.get_optimization_defaults())
        build(dtype)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_default_dtype() == torch.float32
        assert dict(e3nn.get_optimization_defaults()) == settings

    def test_refusals(self):
        with pytest.raises(ConfigError, match="three numbers"):
            E3nnEncoder(CLOUD, LATENT, (4, 8))
        with pytest.raises(RepError, match="d = 3"):
            E3nnEncoder(Rep.parse("4xp", 2), vectors(2, 2), (4, 8, 4))
        with pytest.raises(RepError, match="vectors"):
            E3nnEncoder(Rep.parse("4xp+2x0e", 3), LATENT, (4, 8, 4))


def test_a_network_of_e3nn_is_audited_in_its_own_basis():
    """Its irreps as they are; the same text in our basis is told for what it is."""
    o3 = pytest.importorskip("e3nn.o3")
    torch.manual_seed(0)
    given, irreps = o3.Irreps("4x0e+4x1o"), o3.Irreps("4x0e+3x1o+2x2e")
    product = o3.FullyConnectedTensorProduct(given, given, irreps)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 16)))

    def square(v):
        return product(v, v)

    right = audit(Probe(square, inputs=x, group="o3", takes=given, gives=irreps), elements=16)
    assert right.verdict in ("exact", "precision-limited")  # its constants are kept in float32
    wrong = audit(Probe(square, inputs=x, group="o3", takes=given, gives=str(irreps)), elements=16)
    assert wrong.verdict == "broken"
    assert [cause.name for cause in wrong.causes][:1] == ["a wrong rep"]
    assert "e3nn's basis" in wrong.causes[0].text
