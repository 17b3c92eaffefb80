"""What each command measures, as plain dataclasses: the names of `metrics.json`.

The README's glossary defines the quantities; `run.record(section, variant, result.as_dict())` writes them.
"""
