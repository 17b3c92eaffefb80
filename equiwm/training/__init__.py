"""Training: objectives, optimisers, and the loop that can be interrupted."""
