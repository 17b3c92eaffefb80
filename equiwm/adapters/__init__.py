"""Probes of what others' tools hold: an ASE calculator, images, a policy, an exported program. A module each."""
