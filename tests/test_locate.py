"""Anything is found by a short name, by module:name or by an installed entry point; wrong names are told apart."""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from types import SimpleNamespace

import pytest
import torch

from equiwm import locate as locating
from equiwm.config import load
from equiwm.errors import ConfigError, RepError
from equiwm.locate import BUILT_IN, locate
from equiwm.models.factory import build_model
from equiwm.symmetry.reps import vectors
from equiwm.training.optimizers import build_optimizer
from equiwm.training.run import prepare_run, train_run

TINY = ("training.transitions=64", "training.batch=32", "training.epochs=2")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that can be imported; it is forgotten after the test."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("kind", [kind for kind, names in BUILT_IN.items() if names])
def test_every_short_name_leads_somewhere(kind):
    for name in BUILT_IN[kind]:
        if name not in ("body", "table", "e3nn"):  # their simulators are extras, but not to read a configuration
            assert locate(kind, name) is not None


WRONG = {
    "unknown short name": ("encoder", "vnn", ["unknown model.encoder 'vnn'", "did you mean vn", "module:name"]),
    "no such module": ("world", "nowhere_at_all:Spring", ["world 'nowhere_at_all:Spring'", "no module named"]),
    "no such name": ("optimizer", "json:Lion", ["training.optimizer 'json:Lion'", "has no 'Lion'"]),
    "not a name": ("world", "a b:c", ["expected module:name"]),
    "nothing after the colon": ("world", "json:", ["expected module:name"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_names(case):
    kind, name, words = WRONG[case]
    with pytest.raises(ConfigError) as raised:
        locate(kind, name)
    assert len(str(raised.value).splitlines()) == 1
    for word in words:
        assert word in str(raised.value)


def test_a_module_that_cannot_be_imported_is_named_with_its_line(module):
    name = module("broken_on_import", "x = 1\nraise RuntimeError('no licence')\n")
    with pytest.raises(ConfigError, match=r"RuntimeError: no licence \(broken_on_import.py:2\)"):
        locate("world", f"{name}:World")


def test_a_module_that_lacks_a_module_of_its_own_is_not_called_missing(module):
    name = module("needs_another", "import surely_not_installed\n")
    with pytest.raises(ConfigError, match=r"importing needs_another raised ModuleNotFoundError.*surely_not_installed"):
        locate("world", f"{name}:World")


def test_an_entry_point_is_as_good_as_a_short_name(module, monkeypatch):
    name = module("somebodys_encoders", "def small(config, observation_rep, latent_rep):\n    return 'made'\n")
    point = metadata.EntryPoint("tiny", f"{name}:small", "equiwm.encoders")
    failing = metadata.EntryPoint("failing", f"{name}:absent", "equiwm.encoders")
    failing = failing._for(SimpleNamespace(name="somebodys-package"))  # type: ignore[attr-defined]
    mine = metadata.EntryPoint("vn", f"{name}:small", "equiwm.encoders")
    found = metadata.EntryPoints([point, failing, mine])
    monkeypatch.setattr(locating.metadata, "entry_points", lambda group: found.select(group=group))
    assert locate("encoder", "tiny")(None, None, None) == "made"
    assert locate("encoder", "vn") is not locate("encoder", "tiny")  # ours stays ours
    with pytest.raises(
        ConfigError, match=r"'failing': the entry point .*absent of the package somebodys-package raised AttributeError"
    ):
        locate("encoder", "failing")


# Models' parts and optimisers from outside

ENCODER = '''
import torch
from torch import nn

class Mean(nn.Module):
    """Every latent vector is a weighted sum of the observation's: equivariant."""
    equivariant = True

    def __init__(self, config, observation_rep, latent_rep):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(latent_rep.multiplicity, observation_rep.multiplicity))

    def forward(self, observation):
        return (self.weight @ observation).flatten(1)

def no_module(config, observation_rep, latent_rep):
    return 3

def failing(config, observation_rep, latent_rep):
    raise ValueError("cannot be so small")

def wrong_size(config, observation_rep, latent_rep):
    return nn.Flatten()
'''


def test_an_encoder_from_outside_trains_and_is_equivariant(module, tmp_path):
    name = module("outside_encoders", ENCODER)
    config = load("vn-2d", None, [*TINY, f"model.encoder={name}:Mean", "model.latent=16"])
    run = prepare_run(config, tmp_path, "run", seed=0, resume=False)
    assert train_run(run, device=torch.device("cpu")).parameters > 0
    model = build_model(config.model, vectors(4, 2), vectors(1, 2), seed=0)
    assert model.equivariant
    assert not model.latent_is_state


@pytest.mark.parametrize(
    ("attribute", "error", "words"),
    [
        ("no_module", RepError, "gave int; expected a torch module"),
        ("failing", ConfigError, "raised ValueError: cannot be so small"),
    ],
)
def test_wrong_encoders(module, attribute, error, words):
    name = module("outside_encoders", ENCODER)
    config = load("vn-2d", None, [f"model.encoder={name}:{attribute}"])
    with pytest.raises(error, match=words):
        build_model(config.model, vectors(4, 2), vectors(1, 2), seed=0)


def test_an_encoder_that_gives_another_size_is_named(module):
    name = module("outside_encoders", ENCODER)
    config = load("vn-2d", None, [f"model.encoder={name}:wrong_size"])
    model = build_model(config.model, vectors(4, 2), vectors(1, 2), seed=0)
    with pytest.raises(RepError, match=r"Flatten gave \(5, 8\) for 5 rows; expected a tensor of rep 64x1o"):
        model.encode(torch.zeros(5, 4, 2))


OPTIMIZERS = """
import torch
from equiwm.training.optimizers import OptimizerRule

SIGN = OptimizerRule(lambda parameters, lr, weight_decay: [torch.optim.Rprop(parameters, lr=lr)], lr=1e-3)
BROKEN = OptimizerRule(lambda parameters, lr, weight_decay: [1 / 0], lr=1e-3)
NUMBER = 3
"""


def test_an_optimiser_from_outside_is_one_object(module):
    name = module("outside_optimizers", OPTIMIZERS)
    model = torch.nn.Linear(2, 2)
    assert type(build_optimizer(f"{name}:SIGN", model).optimizers[0]) is torch.optim.Rprop
    assert type(build_optimizer("torch.optim:Adamax", model, lr=0.1).optimizers[0]) is torch.optim.Adamax
    with pytest.raises(ConfigError, match=r"no learning rate of its own"):
        build_optimizer("torch.optim:Adamax", model)
    with pytest.raises(ConfigError, match=r"building it raised ZeroDivisionError"):
        build_optimizer(f"{name}:BROKEN", model)
    with pytest.raises(ConfigError, match=r"is 3; expected an OptimizerRule"):
        build_optimizer(f"{name}:NUMBER", model)


# Presets by path


def test_a_preset_may_be_a_path(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("world: {name: cloud}\nmodel: {encoder: vn_cloud, weights: real, latent: 24}\n", encoding="utf-8")
    config = load(str(file))
    assert (config.preset, config.world.name, config.model.latent) == ("mine", "cloud", 24)
    with pytest.raises(ConfigError, match=r"no such preset: .*absent\.yaml"):
        load(str(tmp_path / "absent.yaml"))


def test_a_run_is_no_preset(tmp_path):
    run = prepare_run(load("vn-2d", None, TINY), tmp_path, "run", seed=0, resume=False)
    with pytest.raises(ConfigError, match=r"is the config.yaml of a run, not a preset"):
        load(str(run.config_path))


def test_how_to_go_on_with_a_run_names_the_path_of_its_preset(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("description: mine\n", encoding="utf-8")
    command = ["equiwm", "train", "--preset", str(file)]
    run = prepare_run(load(str(file)), tmp_path, "run", seed=0, resume=False, command=command)
    assert f"--preset {file}" in run.resume_command


@pytest.mark.parametrize("name", BUILT_IN["world"])
def test_a_configuration_knows_whether_there_is_something_to_reach_in_its_world(name):
    """So that whoever reads results builds no world, which may need a simulator."""
    config = locate("world", name)
    module, _, world = config.world.partition(":")
    found = getattr(import_module(module), world)
    assert config.has_tasks == (getattr(found, "control", None) is not None)
