"""A rigid T and a pusher on a table in MuJoCo, under gravity and with friction, group SE(2) about the vertical."""
