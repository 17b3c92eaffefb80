"""The claims of the paper, end to end: what each states, and how it is measured and decided."""
