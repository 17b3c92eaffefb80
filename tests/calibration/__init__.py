"""Campaigns that measure how often a statistical verdict is wrong; they take minutes and run in pieces."""
