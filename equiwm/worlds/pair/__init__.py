"""Two bodies of which neither is the first: what a frame that is read off a scene cannot tell apart."""
