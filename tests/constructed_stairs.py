"""A world with jumps, for the command to find in a file."""

from constructed import JUMPS

stairs = next(case.world for case in JUMPS if case.name == "stairs")
