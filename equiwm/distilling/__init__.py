"""Distillation: a policy cloned from a run's planner, and improved on the states that it visits itself."""
