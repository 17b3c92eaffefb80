"""CHGNet 0.3.0, pretrained: a potential of crystals, energy, forces, stress and magnetic moments."""

from equiwm.adapters.ase import calculator_probe, rattled

PACKAGES = ("chgnet", "ase")
CLAIMS = "energy and moments of distances and angles, forces and stress its derivatives: E(3)"

NOTE = """
Energy, forces and moments are those of a float32 network, and rotations leave the stress as exact. Under a reflection
the stress changes its sign: the cell becomes left-handed, and `chgnet/model/model.py` divides by the signed volume
a . (b x c). Two vectors of one cell exchanged, the same crystal, give the stress of opposite sign as well. With
right-handed cells, the usual ones, the stress is equivariant.
"""


def probe():
    from ase.build import bulk
    from chgnet.model.dynamics import CHGNetCalculator

    crystal = rattled(bulk("GaAs", "zincblende", 5.7), count=4)
    return calculator_probe(
        CHGNetCalculator(use_device="cpu"), crystal, outputs=("energy", "forces", "stress", "magmoms")
    )
