"""The wheel: it carries the presets, and its `equiwm` finds them without a checkout."""

from __future__ import annotations

import json
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
    modules = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "equiwm").rglob("*.py")}
    assert modules <= set(names)
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
