"""The one checker: how far any callable is from equivariant, and whether that is a verdict."""
