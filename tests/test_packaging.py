"""The wheel: it carries the presets, and its `equiwm` finds them without a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import equiwm
from equiwm.config import load, preset_folder, preset_names

CHECKOUT = Path(equiwm.__file__).parent.parent
in_checkout = pytest.mark.skipif(
    not (CHECKOUT / "pyproject.toml").is_file(), reason="the tests run on an installed wheel, not in a checkout"
)


@in_checkout
def test_a_checkout_has_its_presets_once():
    """An editable install reads the folder at the top; nothing is copied into the package."""
    assert preset_folder() == CHECKOUT / "presets"
    assert not (CHECKOUT / "equiwm" / "presets").exists()


def test_every_preset_loads_and_names_a_baseline_that_exists():
    for name in preset_names():
        config = load(name)
        assert config.preset == name
        assert config.description
        assert config.baseline is None or config.baseline in preset_names()
        assert config.baseline is None or load(config.baseline).baseline is None


def test_the_version_is_one():
    assert metadata.version("equiwm") == equiwm.__version__


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(CHECKOUT)], check=True, capture_output=True)
    (built,) = folder.glob("equiwm-*.whl")
    return built


@in_checkout
@pytest.mark.slow
def test_the_wheel_holds_package_presets_and_licence_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    presets = {path.name for path in (CHECKOUT / "presets").glob("*.yaml")}
    assert {Path(name).name for name in names if name.startswith("equiwm/presets/")} == presets
    package = [path for path in (CHECKOUT / "equiwm").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {str(path.relative_to(CHECKOUT)) for path in package} <= set(names)  # templates and py.typed too
    assert "equiwm/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"equiwm", f"equiwm-{equiwm.__version__}.dist-info"}
    assert any(name.endswith("LICENSE") for name in names)
    assert not any("__pycache__" in name or name.startswith("tests") for name in names)


@in_checkout
@pytest.mark.slow
def test_an_installed_wheel_finds_its_presets(wheel, tmp_path):
    """In a virtual environment that sees this one's dependencies, but the wheel's equiwm first."""
    venv.EnvBuilder(with_pip=False).create(tmp_path / "venv")
    binary = next(path for path in (tmp_path / "venv").rglob("python*") if path.name in ("python", "python.exe"))
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([binary, "-c", ask], check=True, capture_output=True, text=True).stdout.strip())
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], check=True
    )
    dependencies = Path(pytest.__file__).parent.parent
    (site / "dependencies.pth").write_text(f"{dependencies}\n")  # appended: the wheel stays in front
    where = "import equiwm.config as c; print(c.preset_folder())"
    found = subprocess.run([binary, "-c", where], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert Path(found.stdout.strip()) == site / "equiwm" / "presets"
    code = "from equiwm.cli.main import main; main()"
    listed = subprocess.run(
        [binary, "-c", code, "presets", "--json"], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert [entry["preset"] for entry in json.loads(listed.stdout)] == preset_names()


CONSUMER = """
import torch

import equiwm
from equiwm import AuditResult, Probe, Subject, Verdict, audit, load_run


def square(x: torch.Tensor) -> torch.Tensor:
    return x.square()


def passes() -> bool:
    probe = Probe(square, inputs=torch.randn(4, 3), group="so3", takes="1o", gives="0e")
    result: AuditResult = audit(probe)
    return result.verdict is Verdict.EXACT


def opened(path: str) -> Subject:
    return load_run(path)


version: str = equiwm.__version__
"""


@pytest.mark.slow
def test_a_consumer_is_checked_strictly(tmp_path):
    """The package carries its types (`py.typed`): a wrong use is found, a right one is not complained of."""
    pytest.importorskip("mypy")
    for name, text, clean in (("right", CONSUMER, True), ("wrong", CONSUMER.replace("-> Subject", "-> int"), False)):
        (tmp_path / f"{name}.py").write_text(text)
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), f"{name}.py"]
        checked = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=_without_path())
        assert (checked.returncode == 0) is clean, checked.stdout
    assert "Incompatible return value" in checked.stdout


def _without_path() -> dict[str, str]:
    """mypy takes what lies on PYTHONPATH for the user's own code, which needs no py.typed."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "MYPYPATH")}
