"""Success over the orbit: the share of tasks that a planner solves with the model, bin by bin."""
