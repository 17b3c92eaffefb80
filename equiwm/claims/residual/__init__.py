"""Claim A: the symmetry survives training."""
