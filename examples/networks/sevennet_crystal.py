"""SevenNet-0 (11 July 2024), pretrained, degree 2: a potential of crystals and molecules built on e3nn."""

from equiwm.adapters.ase import calculator_probe, rattled

PACKAGES = ("sevenn", "ase")
CLAIMS = "energy invariant, forces and stress equivariant, under rotations and translations (is_parity is off)"
NOTE = "The checkpoint's own configuration has is_parity = False: its features have one parity, as cross products need."


def probe():
    from ase.build import bulk
    from sevenn.calculator import SevenNetCalculator

    crystal = rattled(bulk("GaAs", "zincblende", 5.7), count=4)
    return calculator_probe(SevenNetCalculator("7net-0", device="cpu"), crystal, group="se3")
