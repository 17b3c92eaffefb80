"""CHGNet 0.3.0, pretrained: a potential of crystals, energy, forces, stress and magnetic moments."""

from equiwm.adapters.ase import calculator_probe, rattled

PACKAGES = ("chgnet", "ase")
CLAIMS = "energy and moments invariant, forces and stress equivariant, under E(3)"


def probe():
    from ase.build import bulk
    from chgnet.model.dynamics import CHGNetCalculator

    crystal = rattled(bulk("GaAs", "zincblende", 5.7), count=4)
    return calculator_probe(
        CHGNetCalculator(use_device="cpu"), crystal, outputs=("energy", "forces", "stress", "magmoms")
    )
