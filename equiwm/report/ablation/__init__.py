"""Tables and figures of the ablations, one module a kind, drawn from a study's metrics alone."""
