"""What logs alone say about a symmetry: a calibrated test that the law of the next state carries a group."""
