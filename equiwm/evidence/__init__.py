"""What a world, its logs or a model say of a symmetry: evidence, each with a verdict."""
