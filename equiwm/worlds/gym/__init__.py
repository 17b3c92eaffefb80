"""A world of any Gymnasium environment whose observations are numbers: typed by `reps.yaml`, stepped by itself."""
