"""The section of a training: what it came to."""
