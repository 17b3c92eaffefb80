"""`equiwm audit FOLDER --table FILE`, and the public networks of examples/networks where they are installed."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from equiwm.audit.audit import audit
from equiwm.cli.audit_folder import probe_files, read_probe_file
from equiwm.cli.main import run
from equiwm.locate import locate_in_file

NETWORKS = Path(__file__).resolve().parents[1] / "examples" / "networks"

EXACT = '''"""A sum of vectors."""

import torch

from equiwm import Probe

print("a banner")
CLAIMS = "equivariant | under O(3)"
NOTE = "somebody looked"
x = torch.randn(16, 4, 3, generator=torch.Generator().manual_seed(0))


def probe():
    return Probe(lambda x: x.square().sum((1, 2))[:, None, None] * x[:, :2], x, "o3", takes="4x1o", gives="2x1o")


def probe_clamped():
    print("another")
    return Probe(lambda x: x[:, :2].clamp(-1, 1), x, "o3", takes="4x1o", gives="2x1o")


def helper():
    return None
'''
NEEDS = '"""Of a package."""\nPACKAGES = ("no-such-package",)\n\n\ndef probe():\n    raise RuntimeError\n'
IMPORTS = "import no_such_module\n\n\ndef probe():\n    return None\n"
RAISES = "def probe():\n    raise RuntimeError('out of coffee')\n"
DIES = "import os\n\n\ndef probe():\n    os._exit(9)\n"


def folder(tmp_path, **files):
    made = tmp_path / "probes"
    made.mkdir()
    for name, text in files.items():
        (made / f"{name}.py").write_text(text)
    return made


def test_a_folder_becomes_a_table(tmp_path, monkeypatch, capsys):
    folder(tmp_path, a=EXACT, b=NEEDS, c=IMPORTS, d=RAISES, e="def probe(:\n", f=DIES, helper="x = 1\n")
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(["audit", "probes", "--table", "docs/table.md", "--elements", "4", "--jobs", "3"]) == 1, (
        "d, e and f failed"
    )
    text = (tmp_path / "docs" / "table.md").read_text()
    assert "equiwm audit probes --table docs/table.md --elements 4 --seed 1000" in text
    assert "| [a](../probes/a.py) |" in text
    assert "equivariant \\| under O(3)" in text
    assert "| [a:probe_clamped](../probes/a.py) |" in text
    (exact,) = [line for line in text.splitlines() if line.startswith("| a | output |")]
    assert [cell.split(" ")[0] for cell in exact.split(" | ")[3:5]] == ["exact", "exact"]
    (clamped,) = [line for line in text.splitlines() if line.startswith("| a:probe_clamped | output |")]
    assert clamped.split(" | ")[3].startswith("broken")
    assert "### a\n\nA sum of vectors.\n\nexact: It is equivariant" in text
    assert "Looked into by hand: somebody looked" in text
    assert "- [b](../probes/b.py): not installed: no-such-package" in text
    assert "- [c](../probes/c.py): not installed: no_such_module" in text
    assert "- [d](../probes/d.py): " in text
    assert "out of coffee" in text
    assert "- [e](../probes/e.py): it cannot be read: SyntaxError, line 1" in text
    assert "- [f](../probes/f.py): it ended with status 9 and no message" in text
    assert "helper" not in text
    assert "[7/7] f: it ended with status 9" in capsys.readouterr().err


def test_exit_statuses(tmp_path, monkeypatch, capsys):
    probes = folder(tmp_path, b=NEEDS)
    monkeypatch.chdir(tmp_path)
    assert run(["audit", "probes", "--table", "table.md", "--expect", "exact"]) == 0, "one is skipped"
    (probes / "a.py").write_text(EXACT.replace("def probe():", "def other():"))
    assert run(["audit", "probes", "--table", "table.md", "--elements", "4", "--expect", "approximate"]) == 1
    assert "[1/2] a:probe_clamped: broken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none", "--table", "t.md"], "none is no folder"),
        (["probes", "--table", "none/t.md"], "no folder none to write t.md into"),
        (["probes", "--table", "t.md"], "probes has no probes"),
        (["probes", "--table", "t.md", "--json"], "--jobs alone"),
        (["probes", "--table", "probes"], "probes"),
        (["probes/helper.py:x", "--jobs", "2"], "--jobs is how many probes of a folder"),
    ],
)
def test_wrong_folders(tmp_path, monkeypatch, capsys, arguments, words):
    folder(tmp_path, helper="x = 1\n")
    monkeypatch.chdir(tmp_path)
    assert run(["audit", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) <= 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["helper.py", "probes"]


def test_a_probe_file_may_have_the_name_of_a_package(tmp_path):
    """What it imports by that name is the package."""
    (tmp_path / "scipy.py").write_text("import scipy.spatial\n\n\ndef probe():\n    return scipy.__file__\n")
    found = locate_in_file(tmp_path / "scipy.py", "probe")()
    assert Path(found).parent.name == "scipy"


# Public networks

VERDICTS = {
    "chgnet_crystal": "broken",
    "e3nn_degree2": "precision-limited",
    "egnn": "exact",
    "en_transformer_cloud": "exact",
    "equiformer": "exact",
    "gvp": "exact",
    "ipa_block": "exact",
    "matgl_tensornet": "exact",
    "matgl_tensornet_so3": "exact",
    "pyg_schnet": "exact",
    "se3_transformer": "precision-limited",
    "sevennet_crystal": "precision-limited",
    "vn_transformer": "approximate",
    "vn_transformer_exact": "exact",
}


@pytest.mark.skipif(not NETWORKS.is_dir(), reason="needs a checkout")
def test_every_public_network_is_here_and_says_what_it_claims():
    files = probe_files(NETWORKS)
    assert {file.path.stem for file in files} == set(VERDICTS)
    assert [file.path.stem for file in files if not (file.claims and file.packages and file.title)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", VERDICTS)
def test_the_verdict_on_a_public_network(name):
    file = read_probe_file(NETWORKS / f"{name}.py")
    for package in file.packages:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            pytest.skip(f"needs {package}")
    result = audit(locate_in_file(file.path, "probe")(), elements=6)
    assert result.verdict == VERDICTS[name], result.sentence
    if name == "chgnet_crystal":  # its stress alone, and under reflections alone
        assert {leaf.name for leaf in result.leaves if leaf.verdict == "broken"} == {"stress"}
        assert all(leaf.by_coset["rotation"] < 1e-3 for leaf in result.leaves)


# escnn, where it can be imported


def steerable(n):
    """escnn: scalars to regular fields to two regular and four invariant ones, of the whole image."""
    import torch
    from escnn import gspaces, nn

    from equiwm.adapters.images import field_rep

    torch.manual_seed(0)
    plane = gspaces.rot2dOnR2(n)
    scalar, hidden = nn.FieldType(plane, [plane.trivial_repr]), nn.FieldType(plane, 4 * [plane.regular_repr])
    gives = nn.FieldType(plane, 2 * [plane.regular_repr] + 4 * [plane.trivial_repr])
    layers = [nn.R2Conv(scalar, hidden, 7, padding=3), nn.ReLU(hidden), nn.R2Conv(hidden, gives, 7, padding=3)]
    inner = nn.SequentialModule(*layers).eval()
    return (lambda x: inner(scalar(x)).tensor.mean((-1, -2))), field_rep(gives)


def escnn_or_skip():
    try:
        import escnn  # noqa: F401
    except ImportError as error:  # a compiled part of it may be of another numpy
        pytest.skip(f"escnn cannot be imported: {error}")


def test_escnn_under_quarter_turns():
    escnn_or_skip()
    import torch

    from equiwm.adapters.images import image_probe

    model, gives = steerable(4)
    images = torch.randn(12, 1, 17, 17)
    (leaf,) = audit(image_probe(model, images, "c4", gives), elements=4).leaves
    assert max(leaf.residual, leaf.residual_low) < 1e-5, "its filters are sampled in float32"
    broken = image_probe(lambda x: model(x * torch.linspace(0.9, 1.1, 17)), images, "c4", gives)
    assert audit(broken, elements=4).leaves[0].residual > 1e-3


def test_escnn_under_eighth_turns():
    escnn_or_skip()
    from equiwm.adapters.images import drawn_probe

    model, gives = steerable(8)
    (leaf,) = audit(drawn_probe(model, "c8", gives, size=25, samples=12), elements=4).leaves
    assert 1e-5 < leaf.residual < 0.15, "a square grid holds C_4 and no more"


@pytest.mark.slow
def test_a_pretrained_potential_on_free_molecules():
    pytest.importorskip("ase")
    pytest.importorskip("sevenn")
    from ase.build import molecule
    from sevenn.calculator import SevenNetCalculator

    from equiwm.adapters.ase import calculator_probe, rattled

    molecules = [atoms for name in ("H2O", "CH4") for atoms in rattled(molecule(name), count=3)]
    probe = calculator_probe(SevenNetCalculator("7net-0", device="cpu"), molecules, group="se3")
    result = audit(probe, elements=4)
    assert result.verdict == "precision-limited", result.sentence
    assert {leaf.name for leaf in result.leaves} == {"energy", "forces"}
