"""The velocity field: vectors moved by a frozen equivariant teacher, group SO(2) or SO(3)."""
