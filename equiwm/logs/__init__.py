"""Logs of episodes that others recorded: npz, Zarr, CSV, Parquet, HDF5 (Minari and D4RL), LeRobot folders."""
