"""Bodies that act on each other in pairs, as many as there is room for; one of them is pushed."""
