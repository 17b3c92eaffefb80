"""Which symmetry a simulator really has: set a state, act, compare with the transformed copy."""
