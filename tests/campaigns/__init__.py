"""Campaigns: faults, kills, damage and races, over every command. Shortened they are tests; `-m slow` runs them whole."""
