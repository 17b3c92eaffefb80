"""TensorNet of matgl for SO(3): the energy of a molecule and of its mirror image may differ."""

from matgl_tensornet import made

from equiwm import Probe

PACKAGES = ("matgl",)
CLAIMS = "energy invariant under SO(3) and translations"


def probe():
    return Probe(*made("SO(3)"), "se3", takes={"pos": "p"}, gives="0e")
