"""The pytest plugin and the battery: what is collected, what a failure says, and that both can fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from equiwm import Probe
from equiwm.audit.audit import audit
from equiwm.battery import EquivarianceBattery, broken
from equiwm.testing import assert_equivariant

pytest_plugins = ["pytester"]

PLUGIN = ("-p", "equiwm.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--strict-markers")
"""Hypothesis imports itself anew in every pytest inside pytest, which takes seconds."""
EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "probes"

NETWORK = """
import pytest
import torch
from equiwm import Probe, draw

pytestmark = pytest.mark.equiwm_probe(elements=4)

class Net(torch.nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.mix, self.bias = torch.nn.Linear(4, 2, bias=False), bias

    def forward(self, x):
        return self.mix(x.mT).mT + self.bias * torch.tensor([0.0, 0.0, 1.0]).to(x)

def _made(bias=0.0, group="so3"):
    torch.manual_seed(0)
    return Probe(Net(bias).eval(), draw("4x1o", "so3", batch=12), group, "4x1o", "2x1o")
"""


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """A pytest inside pytest forgets what it imports, and torch imports much at its first work: it is done before."""
    assert_equivariant(Probe(lambda x: 2 * x, None, "so3", "4x1o", "4x1o"), elements=4)


@pytest.fixture
def suite(pytester):
    """A folder with files, and pytest with the plugin run in it, in this process."""

    def run(files: dict[str, str], *options: str):
        for name, text in files.items():
            path = pytester.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return pytester.runpytest_inprocess(*PLUGIN, *options)

    return run


def test_marked_functions_are_audited(suite):
    text = """
    @pytest.mark.equiwm_probe
    def good(): return _made()

    @pytest.mark.equiwm_probe(expect="exact", elements=8, seed=3)
    def test_best(): return _made()

    @pytest.mark.equiwm_probe(elements=8)
    @pytest.mark.parametrize("bias", [0.0, 0.5])
    def with_a_bias(bias, tmp_path): return _made(bias)

    class TestThose:
        @pytest.mark.equiwm_probe(elements=8)
        def inside(self): return _made(0.5)

    def unmarked(): raise AssertionError

    def test_plain(): assert True
    """
    found = suite({"test_nets.py": NETWORK + "\n".join(line[4:] for line in text.splitlines())})
    found.assert_outcomes(passed=4, failed=2)
    found.stdout.fnmatch_lines(
        [
            "BROKEN: It is NOT equivariant under SO3: output, channel 1o*",
            "cause: a constant.*",
            "cause: the layer. It breaks at the whole*",
        ]
    )
    shown = found.stdout.str()
    assert "Traceback" not in shown
    failures = shown.partition("short test summary info")[0]  # which on CI repeats the whole message
    assert failures.count("cause: a constant.") == 2, "once a failure"
    assert max(len(line) for line in shown.splitlines() if line.startswith(("BROKEN", "cause", "  "))) <= 80


FOLDER = """
exact = _made()

def good(): return _made()

def annotated() -> Probe: return _made(0.5)

def helper(bias=0.0): raise AssertionError

def number() -> int: raise AssertionError

def _hidden(): raise AssertionError

@pytest.mark.equiwm_probe(expect="approximate")
def other(): return _made()

def test_plain(): assert True
"""


def test_a_folder_of_probes_is_collected(suite):
    files = {
        "probes/nets.py": NETWORK + FOLDER,
        "probes/_shared.py": "raise AssertionError",
        "elsewhere/nets2.py": "1/0",
    }
    files["probes/others.py"] = "def wipe_the_disk(): raise AssertionError"
    files["probes/test_own.py"] = NETWORK + "def plain(): raise AssertionError\ndef test_it(): pass"
    found = suite(files, "-v")
    found.assert_outcomes(passed=5, failed=1)
    found.stdout.fnmatch_lines(
        ["probes/nets.py::exact PASSED*", "*nets.py::good PASSED*", "*nets.py::annotated FAILED*"]
    )
    suite({}, "probes/nets.py::good", "probes/nets.py::exact").assert_outcomes(passed=2)


def test_the_folder_is_configured(suite):
    """By a path or a name; its probes can be chosen by the marker."""
    kept = NETWORK.replace("pytestmark", "_mark") + "exact = _made()\ndef test_plain(): pass"
    files = {"probes/nets.py": "import equiwm\n1/0", "tests/kept/nets.py": kept}
    suite({**files, "pytest.ini": "[pytest]\nequiwm_probes = tests/kept"}).assert_outcomes(passed=2)
    found = suite({"pytest.ini": "[pytest]\nequiwm_probes = kept other"}, "-m", "equiwm_probe")
    found.assert_outcomes(passed=1, deselected=1)


WRONG = """
def a(): return 3

def b(): return _made(group="nothing")

@pytest.mark.equiwm_probe(expect="perfect")
def c(): return _made()

@pytest.mark.equiwm_probe("exact")
def d(): return _made()

@pytest.mark.equiwm_probe(speed=3)
def e(): return _made()

def f(): raise ValueError("no weights")

def g(): return Probe(lambda x: 1 / 0, None, "so3", "4x1o", "2x1o")
"""


def test_what_is_no_probe_fails_in_words(suite):
    found = suite({"probes/nets.py": NETWORK + WRONG})
    found.assert_outcomes(failed=7)
    lines = [
        "a returned int, expected an equiwm.Probe.",
        "*unknown group 'nothing'*",
        "*expect: got 'perfect'*",
        "equiwm_probe takes expect, elements, seed by name; got 'exact'.",
        "equiwm_probe takes expect, elements, seed by name; got speed.",
        "*ValueError: no weights",
        "it could not be audited: the model raised at the probe's own inputs:*",
    ]
    found.stdout.fnmatch_lines(lines)
    suite({"probes/nets.py": "import equiwm\nwrong = 1/0"}).assert_outcomes(errors=1)


@pytest.mark.slow
@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs a checkout")
def test_the_example(pytester):
    shutil.copytree(EXAMPLES, pytester.path / "probes")
    pytester.runpytest_inprocess(*PLUGIN, "probes/").assert_outcomes(passed=2)


def test_the_plugin_is_light():
    """Loading it with every pytest of a machine imports nothing heavy."""
    code = "import sys, equiwm.pytest_plugin; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "numpy", "scipy", "pandas", "matplotlib"} & set(done.stdout.split())


def test_a_suite_without_probes_imports_no_torch(pytester):
    path = pytester.path / "test_plain.py"
    path.write_text("import sys\ndef test_it(): assert 'torch' not in sys.modules")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGIN, str(path)], capture_output=True, text=True, cwd=pytester.path
    )
    assert done.returncode == 0, done.stdout


# The battery

BATTERY = """
import torch
from equiwm import Probe, symmetrise
from equiwm.battery import EquivarianceBattery

def _clouds(*shape):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(0))

class Small(EquivarianceBattery):
    elements = 4

class TestVectors(Small):
    @pytest.fixture
    def probe(self):
        return _made(BIAS)

class TestGraphs(Small):
    expect = "exact"
    dtypes = ("float64",)

    @pytest.fixture
    def probe(self):
        def energy(pos, z):
            e = (torch.cdist(pos, pos) * z).sum()
            return {"energy": e, "forces": pos - pos.mean(0)}
        inputs = [{"pos": _clouds(n).double(), "z": torch.arange(n) % 2} for n in (4, 5, 6)]
        return Probe(energy, inputs, "o3", {"pos": "p", "z": "same"}, {"energy": "0e", "forces": "1o"}, call="**")

class TestWrapped(Small):
    @pytest.fixture
    def probe(self):
        torch.manual_seed(0)
        return symmetrise(torch.nn.Linear(12, 6), "so3", ("4x1o", "2x1o")).probe(_clouds(16, 4).flatten(1))
"""


@pytest.mark.parametrize(
    ("bias", "chosen", "outcomes"),
    [
        ("0.0", "Vectors", {"passed": 4, "deselected": 8}),
        pytest.param("0.5", "Vectors", {"passed": 2, "failed": 2, "deselected": 8}, marks=pytest.mark.slow),
        pytest.param("0.0", "Graphs or Wrapped", {"passed": 7, "skipped": 1, "deselected": 4}, marks=pytest.mark.slow),
    ],
)
def test_the_battery_is_inherited(suite, bias, chosen, outcomes):
    suite({"test_nets.py": NETWORK + BATTERY.replace("BIAS", bias)}, "-k", chosen).assert_outcomes(**outcomes)


FAULTS = """
import torch
from equiwm import Probe, draw
from equiwm.battery import EquivarianceBattery

class TestNothing(EquivarianceBattery):
    pass

class TestInPlace(EquivarianceBattery):
    elements = 4

    @pytest.fixture
    def probe(self):
        return Probe(lambda x: x.mul_(2.0), draw("4x1o", "so3", batch=12), "so3", "4x1o", "4x1o")

class TestRandom(EquivarianceBattery):
    elements = 4

    @pytest.fixture
    def probe(self):
        return Probe(lambda x: x * torch.rand(()), draw("4x1o", "so3", batch=12), "so3", "4x1o", "4x1o")
"""


def test_the_battery_fails_where_it_should(suite):
    found = suite({"test_nets.py": NETWORK + FAULTS}, "-v")
    found.assert_outcomes(passed=4, failed=4, errors=4)
    lines = [
        "*TestInPlace::test_is_deterministic_and_leaves_all_as_it_was FAILED*",
        "*TestInPlace::test_a_planted_break_is_seen PASSED*",
        "*TestRandom::test_is_equivariant?float32? FAILED*",
        "*TestRandom::test_is_deterministic_and_leaves_all_as_it_was FAILED*",
        "*TestNothing has no fixture `probe` that returns an equiwm.Probe.*",
    ]
    for line in lines:
        found.stdout.fnmatch_lines([line])


@pytest.mark.parametrize("group", ["mirrory", "e3", "so3*s4"])
def test_the_planted_break_is_no_symmetry(group):
    """In every group it is seen, in vectors and in scalars, and a break of nothing is not."""
    items = "perm4*" * ("s4" in group)
    probe = Probe(lambda x: (x, 1.0 * x), None, group, f"{items}1o", (f"{items}1o", f"{items}1o"))
    assert audit(probe, elements=4).verdict == "exact"
    assert audit(broken(probe, 0), elements=4).verdict in ("broken", "approximate")


def test_a_break_that_is_not_seen_is_told(monkeypatch):
    """A test of the test: a planted break of nothing passes the audit, and so fails the battery."""
    monkeypatch.setattr("equiwm.battery.BREAK", 0.0)
    probe = Probe(lambda x: 2 * x, None, "so3", "4x1o", "4x1o")
    with pytest.raises(AssertionError, match="the audit of it says exact"):
        EquivarianceBattery().test_a_planted_break_is_seen(probe)
