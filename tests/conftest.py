"""What several test files share: tiny runs, trained once a session, a view of everything on disk, and a list of what
was skipped."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from made_runs import Maker

TINY = ("training.transitions=200", "training.epochs=2", "training.batch=64")
"""`--set` of a training that takes about a second and still moves the weights."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest --skipped-to FILE`, and then, where what they need is installed, `pytest @FILE`."""
    parser.addoption("--skipped-to", metavar="FILE", help="write the ids of all tests that were skipped, a line each")


def pytest_configure(config: pytest.Config) -> None:
    """Only the process that has the reports of all tests writes."""
    path = config.getoption("--skipped-to")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Skipped(Path(path)))


class _Skipped:
    """Tests, and whole files where that is what was skipped, in the order of their reports."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.found[report.nodeid] = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.found[report.nodeid] = None

    def pytest_sessionfinish(self) -> None:
        self.path.write_text("".join(f"{name}\n" for name in self.found), encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """As the commands do: these tensors are small, and two threads are slower than one."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_cache() -> None:
    """Nothing of a test is kept for another, or in the folder of whoever runs them."""
    os.environ["EQUIWM_CACHE"] = "off"


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """`--set` arguments of a tiny training."""
    return [part for assignment in TINY for part in ("--set", assignment)]


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder with tiny complete trainings of four presets. Read only: use `copy_run` to change one."""
    import torch

    from equiwm.config import load
    from equiwm.training.run import prepare_run, train_run

    folder = tmp_path_factory.mktemp("trained") / "runs"
    for preset in ("vn-2d", "mlp-2d", "vn-2d-forward", "mlp-2d-forward"):
        run = prepare_run(load(preset, None, TINY), folder, preset, seed=0, resume=False)
        train_run(run, device=torch.device("cpu"))
    return folder


@pytest.fixture
def copy_run(trained, tmp_path) -> Callable[..., Path]:
    """Copies a tiny run to a place of its own."""

    def copy(preset: str = "vn-2d", name: str | None = None) -> Path:
        return Path(shutil.copytree(trained / preset, tmp_path / "runs" / (name or preset)))

    return copy


@pytest.fixture
def make(tmp_path) -> Maker:
    """Makes runs in a folder of the test, without training anything."""
    from made_runs import Maker

    return Maker(tmp_path / "runs")


@pytest.fixture
def everything(make) -> Path:
    """Three seeds of a pair with every section, and a study."""
    from made_runs import everything_in

    return everything_in(make)


def _snapshot(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def snapshot() -> Callable[[Path], dict[str, str]]:
    """Every path below a folder, with the hash of its content."""
    return _snapshot
