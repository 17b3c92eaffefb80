"""Synthetic point clouds driven by force, torque and stretch, group SE(3)."""
