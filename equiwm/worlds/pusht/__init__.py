"""PushT: gym-pusht's physics, group SO(2) about the arena's centre."""
