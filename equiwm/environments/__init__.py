"""Gymnasium environments as deterministic simulators: numbers typed by `reps.yaml`, bounds that commute, episodes."""
