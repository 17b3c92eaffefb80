"""A run's folder may name code: it is imported where this user has pointed at it, and refused elsewhere."""

from __future__ import annotations

import shutil
import sys

import pytest
import torch
import yaml

from equiwm.config import load
from equiwm.errors import ConfigError, TrustError
from equiwm.loading import load_run
from equiwm.runs import Run
from equiwm.training.run import prepare_run, train_run
from equiwm.trust import state_folder

MODULE = """
import pathlib
pathlib.Path(__file__).with_name("imported").write_text("yes")

import torch
from torch import nn

class Mean(nn.Module):
    def __init__(self, config, observation_rep, latent_rep):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(latent_rep.multiplicity, observation_rep.multiplicity))

    def forward(self, observation):
        return (self.weight @ observation).flatten(1)
"""
PRESET = """
model: {encoder: "trusted_nets:Mean", predictor: vn, weights: complex, latent: 16}
training: {transitions: 64, batch: 32, epochs: 1}
"""


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("trusted_nets", None)


@pytest.fixture
def run(tmp_path) -> Run:
    """A trained run whose encoder lies beside the preset, in a process that has forgotten it."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "trusted_nets.py").write_text(MODULE, encoding="utf-8")
    (code / "mine.yaml").write_text(PRESET, encoding="utf-8")
    made = prepare_run(load(str(code / "mine.yaml")), tmp_path / "runs", "mine", seed=0, resume=False)
    train_run(made, device=torch.device("cpu"))
    forget(code)
    return Run(made.path)


def forget(code) -> None:
    sys.modules.pop("trusted_nets", None)
    sys.path[:] = [entry for entry in sys.path if entry != str(code.resolve())]
    (code / "imported").unlink(missing_ok=True)


def test_a_run_of_this_user_is_loaded_from_any_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moved = shutil.move(run.path, tmp_path / "moved")
    assert load_run(moved).model.parameter_count > 0
    assert oct((state_folder() / "key").stat().st_mode & 0o777) == "0o600"


def test_a_run_of_somebody_else_is_refused_before_anything_is_imported(run, tmp_path):
    (state_folder() / "key").unlink()
    with pytest.raises(
        TrustError, match=r"names code from outside equiwm .*trusted_nets.*--trust trusted_nets"
    ) as raised:
        load_run(run.path)
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "code" / "imported").exists()
    assert not (state_folder() / "key").exists()  # reading makes nothing


def test_trust_is_given_by_name_for_what_can_be_imported(run, tmp_path, monkeypatch):
    (state_folder() / "key").unlink()
    with pytest.raises(ConfigError, match=r"no module named 'trusted_nets'"):
        load_run(run.path, trust=["trusted_nets"])
    monkeypatch.chdir(tmp_path / "code")
    assert load_run(run.path, trust=["trusted_nets"]).model.parameter_count > 0
    with pytest.raises(TrustError):
        load_run(run.path, trust=["another"])


def test_a_seal_covers_where_the_code_lies(run, tmp_path):
    data = yaml.safe_load(run.config_path.read_text())
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "trusted_nets.py").write_text(MODULE, encoding="utf-8")
    data["code"]["trusted_nets"] = str(evil / "trusted_nets.py")
    run.config_path.write_text(yaml.safe_dump(data))
    with pytest.raises(TrustError):
        load_run(run.path)
    assert not (evil / "imported").exists()


def test_a_seal_covers_the_modules_alone_that_were_sealed(run):
    data = yaml.safe_load(run.config_path.read_text())
    data["model"]["predictor"] = "os:system"
    run.config_path.write_text(yaml.safe_dump(data))
    with pytest.raises(TrustError, match=r": os\."):
        load_run(run.path)


def test_another_module_of_the_same_name_is_not_taken_for_the_runs(run, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "trusted_nets.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(other)
    import trusted_nets  # noqa: F401

    with pytest.raises(ConfigError, match=r"was made with .*code/trusted_nets\.py, but 'trusted_nets' is .*other"):
        load_run(run.path)


def test_a_run_without_foreign_code_has_no_seal(tmp_path):
    made = prepare_run(load("vn-2d"), tmp_path, "plain", seed=0, resume=False)
    data = yaml.safe_load(made.config_path.read_text())
    assert not {"code", "seal"} & set(data)
    assert not state_folder().exists()
