"""A rigid body in MuJoCo with gravity off, group SE(3)."""
