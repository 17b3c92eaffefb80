"""Campaigns of faults, kills, damage and races over every command: shortened they are tests, `-m slow` is whole."""
