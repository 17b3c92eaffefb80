"""Small networks with a planted break of a named kind, or none: what an audit has to say of each is known."""
