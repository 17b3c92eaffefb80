"""Causes of a break, each told apart by an experiment."""
