"""Claim B: what is learned on the wedge holds on the whole group."""
