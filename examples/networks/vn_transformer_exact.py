"""VNTransformer without the bias."""

from vn_transformer import made

PACKAGES = ("VN-transformer",)
CLAIMS = "equivariant under rotations"


def probe():
    return made(0.0)
