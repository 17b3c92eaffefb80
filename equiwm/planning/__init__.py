"""Planners that see only `cost(actions)`, the costs they are given, and the frames that make them equivariant."""
