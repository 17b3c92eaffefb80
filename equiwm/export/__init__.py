"""A trained model as files that need no training stack: written, audited against the run, and loaded again."""
