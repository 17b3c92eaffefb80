"""Speed as ratios of one run: `pytest -m benchmark -s` prints them as one table. Those that take long are `slow`."""
