"""The section of a distillation: what it came to."""
