"""Claim C: the whole closed loop is invariant."""
