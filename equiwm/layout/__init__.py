"""The plain files of a run directory, one module each. None of them knows the others."""
