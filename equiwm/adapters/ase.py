"""Every interatomic potential with an ASE calculator, free and periodic: `calculator_probe(calculator, structures)`.

Positions are points, the rows of the cell are vectors and turn with them, numbers and every other array of an atom
stay with it. ASE's stress is six numbers, xx yy zz yz xz xy, which do not transform by themselves: they are judged as
the symmetric tensor they stand for, and a calculator that gives nine numbers by their symmetric part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from equiwm.adapters.packages import imported
from equiwm.audit.probe import Probe
from equiwm.audit.typed import SAME, Typed
from equiwm.errors import DataError, RepError, nearest
from equiwm.symmetry.group import Group
from equiwm.symmetry.reps import Rep

Output = Literal[
    "energy", "free_energy", "energies", "forces", "stress", "stresses", "dipole", "charges", "magmom", "magmoms"
]

_REPS: dict[str, Rep | str | Typed] = {
    "energy": "0e",
    "free_energy": "0e",
    "energies": Typed("0e", axis=-1),
    "forces": Typed("1o", axis=-1),
    "stress": "1o*1o",
    "stresses": "1o*1o",
    "dipole": "1o",
    "charges": Typed("0e", axis=-1),
    "magmom": "0e",
    "magmoms": Typed("0e", axis=-1),
}
"""What calculators give, as ASE defines it. Magnetic moments are collinear: numbers that no motion of space changes."""
_DEFAULT: tuple[Output, ...] = ("energy", "forces", "stress")
_PER_ATOM = ("energies", "charges", "magmoms")
_KNOWN: dict[str, Rep | str | Typed] = {
    "positions": Typed("p", axis=-1),
    "momenta": Typed("1o", axis=-1),
}
"""Arrays of an atom that turn; the others of ASE's own are numbers, tags, masses, charges and collinear moments."""
_SAME = ("numbers", "tags", "masses", "initial_charges", "initial_magmoms")


def calculator_probe(
    calculator: Any,
    structures: Sequence[Any],
    group: Group | str = "e3",
    outputs: Sequence[Output] | None = None,
    *,
    arrays: Mapping[str, Rep | str | Typed] | None = None,
) -> Probe:
    """The probe of an ASE calculator.

        >>> probe = calculator_probe(CHGNetCalculator(), rattled(bulk("NaCl", "rocksalt", 5.6) * (2, 2, 2)))

    Args:
        calculator: an ASE calculator; it is asked anew at every call, nothing that it remembers is used.
        structures: ASE `Atoms` of any sizes, free or periodic, or a mixture. Four or more say how outputs vary: see
            `rattled`. What stands in `atoms.info` is handed on as it is and must hold nothing that turns.
        group: `e3` with translations and reflections, `o3`, `so3`, `se3`, or any group of space.
        outputs: which properties are judged; by default energy, forces and, where every structure is periodic in three
            directions, stress, as far as the calculator has them. Energies in eV, forces in eV/Å, stress in eV/Å^3.
        arrays: reps of further arrays of the atoms by name, `same` for one that does not turn.

    Returns:
        A probe of one call a structure; its inputs are mappings with `positions` (N, 3), `cell` (3, 3) where one has
        a cell, `pbc`, the other arrays, and the structure's place in the list.

    Raises:
        MissingExtraError: ASE is not installed.
        DataError: no structures, something else than `Atoms`, or no calculator.
        RepError: an output that the calculator does not have, or an array of the atoms that nothing is known of.
    """
    ase = imported("ase", "ase", "calculator_probe")
    if isinstance(structures, ase.Atoms):
        structures = [structures]
    kept = list(structures)
    for index, atoms in enumerate(kept):
        if not isinstance(atoms, ase.Atoms) or not len(atoms):
            what = "no atoms" if isinstance(atoms, ase.Atoms) else type(atoms).__name__
            raise DataError(f"structures[{index}]: got {what}, expected ASE Atoms with one atom or more.")
    if not kept:
        raise DataError("structures: got an empty list, expected ASE Atoms.")
    if not callable(getattr(calculator, "get_property", None)):
        raise DataError(f"calculator: got {type(calculator).__name__}, expected an ASE calculator (with get_property).")
    chosen = _chosen(calculator, kept, outputs)
    takes = _reps_of_arrays(kept, dict(arrays or {}))
    with_cell = any(atoms.cell.array.any() for atoms in kept)
    if with_cell:
        takes["cell"] = "3x1o"
    samples = [_sample(atoms, index, takes) for index, atoms in enumerate(kept)]
    periodic = with_cell and all(atoms.pbc.any() for atoms in kept)
    return Probe(
        _Model(calculator, kept, chosen),
        inputs=samples,
        group=group,
        takes=takes,
        gives={name: _REPS[name] for name in chosen},
        alike={"choice of the cell": _other_cell} if periodic else {},
    )


def rattled(atoms: Any, count: int = 8, *, size: float = 0.1, strain: float = 0.02, seed: int = 0) -> list[Any]:
    """Copies of a structure that differ: what an output depends on shows by how it varies over them.

    Args:
        atoms: ASE `Atoms`.
        count: how many.
        size: standard deviation of the moves of the atoms, Å.
        strain: standard deviation of the entries of the strain of a periodic cell.
        seed: of both.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        copy = atoms.copy()
        if copy.pbc.any():
            copy.set_cell(copy.cell.array @ (np.eye(3) + strain * rng.normal(size=(3, 3))), scale_atoms=True)
        copy.positions += size * rng.normal(size=(len(copy), 3))
        found.append(copy)
    return found


class _Model:
    """A calculator as a function of positions, cell and the arrays of the atoms."""

    def __init__(self, calculator: Any, structures: list[Any], outputs: tuple[str, ...]) -> None:
        self.calculator, self.structures, self.outputs = calculator, structures, outputs

    def __call__(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        atoms = self.structures[sample["structure"]].copy()
        for name, values in sample.items():
            if name not in ("structure", "cell", "pbc"):
                atoms.arrays[name] = np.asarray(values, dtype=atoms.arrays[name].dtype)
        atoms.pbc = sample["pbc"]
        if atoms.cell.array.any():  # a structure without a cell keeps none, wherever its zeros are moved
            atoms.set_cell(np.asarray(sample["cell"], dtype=np.float64))
        if hasattr(self.calculator, "reset"):  # else an answer that is remembered passes for a second call
            self.calculator.reset()
        return {name: _as_array(name, self.calculator.get_property(name, atoms), len(atoms)) for name in self.outputs}


def _as_array(name: str, value: Any, atoms: int) -> np.ndarray:
    """A property with axes as its rep has them: a stress as 3 x 3.

    Raises:
        DataError: a property of a shape that ASE does not define.
    """
    made = np.array(value, dtype=np.float64)  # a copy: calculators give what they keep
    if name in ("stress", "stresses") and made.shape[-1:] == (6,):
        made = made[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    elif name in ("stress", "stresses") and made.shape[-2:] == (3, 3):  # ASE's is symmetric by definition
        made = (made + made.swapaxes(-1, -2)) / 2
    if name in _PER_ATOM and made.ndim == 1:
        made = made[:, None]
    expected = {"forces": (atoms, 3), "stress": (3, 3), "stresses": (atoms, 3, 3), "dipole": (3,)}
    per_atom = (atoms, 1) if name in _PER_ATOM else made.shape
    if made.shape != expected.get(name, per_atom):
        raise DataError(f"the calculator's {name} has shape {made.shape}, expected {expected.get(name, per_atom)}.")
    return made


def _chosen(calculator: Any, structures: list[Any], outputs: Sequence[str] | None) -> tuple[str, ...]:
    has = tuple(getattr(calculator, "implemented_properties", ()))
    if isinstance(outputs, str):
        outputs = (outputs,)
    if outputs is None:
        periodic = all(atoms.pbc.all() for atoms in structures)
        found = tuple(name for name in _DEFAULT if name in has and (periodic or name != "stress"))
        if not found:
            raise RepError(f"the calculator has none of {', '.join(_DEFAULT)}; it has: {', '.join(has) or 'nothing'}.")
        return found
    for name in outputs:
        if name not in _REPS:
            raise RepError(f"outputs: no rep is known of '{name}', {nearest(str(name), _REPS)}")
        if has and name not in has:
            raise RepError(f"outputs: the calculator has no '{name}'; it has: {', '.join(has)}.")
    if not outputs:
        raise RepError(f"outputs: got none; known: {', '.join(_REPS)}.")
    return tuple(outputs)


def _reps_of_arrays(structures: list[Any], given: dict[str, Rep | str | Typed]) -> dict[str, Rep | str | Typed]:
    """Reps of the arrays that the atoms hold.

    Raises:
        RepError: one that is in some structures only, or of which nothing is known.
    """
    names = dict.fromkeys(name for atoms in structures for name in atoms.arrays)
    for name in given:
        if name not in names:
            raise RepError(f"arrays: the atoms have no '{name}'; they have: {', '.join(names)}.")
    found: dict[str, Rep | str | Typed] = {}
    for name in names:
        if not all(name in atoms.arrays for atoms in structures):
            raise RepError(f"the array '{name}' is in some of the structures only; remove it or set it everywhere.")
        array = structures[0].arrays[name]
        if name in given or name in _KNOWN:
            rep = given.get(name, _KNOWN.get(name, SAME))
            if array.ndim > 1 and rep != SAME and not isinstance(rep, Typed):
                rep = Typed(rep, axis=-1)  # three atoms are no ambiguity: atoms come first
            found[name] = rep
        elif name == "initial_magmoms" and array.ndim == 2:
            found[name] = Typed("1e", axis=-1)
        elif name in _SAME or array.dtype.kind not in "fc":
            found[name] = "same"
        else:
            raise RepError(
                f"nothing is known of the array '{name}' of the atoms, shape {array.shape}: give its rep, "
                f"arrays={{'{name}': '1o'}}, or 'same' if it does not turn."
            )
    return found


def _sample(atoms: Any, index: int, takes: Mapping[str, Any]) -> dict[str, Any]:
    sample: dict[str, Any] = {name: atoms.arrays[name].copy() for name in atoms.arrays}
    if "cell" in takes:
        sample["cell"] = atoms.cell.array.astype(np.float64).copy()
    return {**sample, "pbc": atoms.pbc.copy(), "structure": index}


def _other_cell(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The same crystal, described otherwise: another basis of its lattice, and atoms that stand in other cells."""
    cell, pbc = sample["cell"], [int(axis) for axis in np.flatnonzero(sample["pbc"])]
    basis = cell.copy()
    if len(pbc) > 1:
        basis[pbc[0]] += cell[pbc[1]]
    steps = np.zeros((len(sample["positions"]), 3), dtype=cell.dtype)
    steps[::2, pbc[0]], steps[1::2, pbc[-1]] = 1.0, -1.0
    return {**sample, "cell": basis, "positions": sample["positions"] + steps @ cell}
