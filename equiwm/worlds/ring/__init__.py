"""A ring of points, whose frame can be taken away."""
