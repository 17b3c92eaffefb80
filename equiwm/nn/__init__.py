"""Typed layers: every one knows the rep it takes and the rep it gives."""
