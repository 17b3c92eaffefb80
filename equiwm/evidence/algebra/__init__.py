"""Which symmetries are there? The Lie algebra of a map by one SVD, finite symmetries by search."""
