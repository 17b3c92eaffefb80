"""What stands on disk: whole files, strict JSON, locks."""
