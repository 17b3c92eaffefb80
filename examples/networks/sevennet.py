"""SevenNet-0 (11 July 2024), pretrained, degree 2: a potential of crystals and molecules built on e3nn."""

from equiwm.adapters.ase import calculator_probe, rattled

PACKAGES = ("sevenn", "ase")
CLAIMS = "energy invariant, forces and stress equivariant, under E(3)"


def probe():
    from ase.build import bulk
    from sevenn.calculator import SevenNetCalculator

    crystal = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    return calculator_probe(SevenNetCalculator("7net-0", device="cpu"), rattled(crystal))
