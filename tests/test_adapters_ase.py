"""ASE calculators as probes: exact ones pass, free and periodic, and every planted break fails."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ase")

from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones

from equiwm.adapters.ase import calculator_probe, rattled
from equiwm.audit.audit import audit
from equiwm.errors import DataError, RepError

CRYSTALS = rattled(bulk("Ar", "fcc", 5.2) * (2, 1, 1), count=4)
CLUSTERS = [
    Atoms(
        f"Ar{n}", positions=3.4 * np.random.default_rng(n).permuted(np.indices((2, 2, 2)).reshape(3, -1).T, axis=0)[:n]
    )
    for n in range(3, 8)
]


def potential(**options):
    return LennardJones(sigma=3.4, epsilon=0.01, rc=5.5, smooth=True, **options)


class Broken(Calculator):
    """A Lennard-Jones potential with something done to its results."""

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, change):
        super().__init__()
        self.inner, self.change = potential(), change

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        names = self.implemented_properties if atoms.pbc.all() else ("energy", "forces")
        self.results = {name: np.array(self.inner.get_property(name, atoms)) for name in names}
        self.change(atoms, self.results)


def verdicts(probe, **options):
    result = audit(probe, elements=6, **options)
    return result, {leaf.name: leaf.verdict for leaf in result.leaves}


def test_periodic_structures_energy_forces_and_stress():
    result, found = verdicts(calculator_probe(potential(), CRYSTALS), symmetries=True)
    assert found == {"energy": "exact", "forces": "exact", "stress": "exact"}
    rows = {row.name: row for row in result.symmetries}
    assert [rows[name].verdict for name in ("reflections", "translations", "choice of the cell")] == ["exact"] * 3
    assert {output.name for output in rows["choice of the cell"].outputs} == {"energy", "forces", "stress"}


def test_free_structures_of_any_sizes_and_a_mixture():
    clusters = [Atoms("Ar4", positions=3.5 * np.eye(4, 3)), *CLUSTERS]
    for atoms in clusters:
        atoms.positions += 0.2 * np.random.default_rng(len(atoms)).normal(size=atoms.positions.shape)
    assert verdicts(calculator_probe(potential(), clusters))[1] == {"energy": "exact", "forces": "exact"}
    assert verdicts(calculator_probe(potential(), [*clusters, *CRYSTALS]))[1] == {"energy": "exact", "forces": "exact"}


def lab_field(atoms, results):
    results["forces"] = results["forces"] + [0.003, 0.0, 0.0]


def other_order(atoms, results):
    results["stress"] = results["stress"][[0, 1, 2, 5, 4, 3]]  # xx yy zz xy xz yz


def of_the_hand(atoms, results):
    results["stress"] = results["stress"] * atoms.cell.handedness


def lab_length(atoms, results):
    results["energy"] = results["energy"] + 0.01 * atoms.cell.array[0, 0]


def left_out(atoms, results):
    results["energy"] = results["energy"] + 1e-3 * np.sin(atoms.positions @ np.linalg.inv(atoms.cell.array)).sum()


@pytest.mark.parametrize(
    ("change", "output"),
    [(lab_field, "forces"), (other_order, "stress"), (of_the_hand, "stress"), (lab_length, "energy")],
)
def test_planted_breaks(change, output):
    _, found = verdicts(calculator_probe(Broken(change), CRYSTALS))
    assert {name for name, verdict in found.items() if verdict != "exact"} == {output}
    assert found[output] in ("broken", "approximate")


def test_an_energy_that_knows_the_choice_of_the_cell():
    result, found = verdicts(calculator_probe(Broken(left_out), CRYSTALS, group="o3"), symmetries=True)
    assert set(found.values()) == {"exact"}
    row = next(row for row in result.symmetries if row.name == "choice of the cell")
    assert row.verdict == "broken"
    assert {output.name for output in row.outputs if output.verdict != "exact"} == {"energy"}


def test_a_calculator_is_asked_anew():
    rng = np.random.default_rng(0)

    def random(atoms, results):
        results["energy"] = results["energy"] + 1e-3 * rng.normal()

    assert verdicts(calculator_probe(Broken(random), CRYSTALS))[0].verdict == "not deterministic"


def test_arrays_of_the_atoms():
    atoms = rattled(molecule("H2O"), count=4)
    for each in atoms:
        each.arrays["dipoles"] = each.positions * [[1.0], [2.0], [3.0]]
        each.set_momenta(each.positions)
    with pytest.raises(RepError, match=r"array 'dipoles' of the atoms, shape \(3, 3\): give its rep"):
        calculator_probe(potential(), atoms)
    probe = calculator_probe(potential(), atoms, arrays={"dipoles": "1o"})
    assert set(probe.takes) == {"numbers", "positions", "momenta", "dipoles"}


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"structures": []}, DataError, "empty list"),
        ({"structures": [1]}, DataError, r"structures\[0\]: got int, expected ASE Atoms"),
        ({"structures": Atoms()}, DataError, "no atoms"),
        ({"calculator": len}, DataError, "expected an ASE calculator"),
        ({"outputs": ("energie",)}, RepError, "did you mean energies or energy"),
        ({"outputs": ("dipole",)}, RepError, "has no 'dipole'"),
        ({"outputs": ()}, RepError, "got none"),
        ({"arrays": {"spin": "1e"}}, RepError, "have no 'spin'"),
    ],
)
def test_wrong_input(given, error, words):
    with pytest.raises(error, match=words):
        calculator_probe(**{"calculator": potential(), "structures": CRYSTALS, **given})
