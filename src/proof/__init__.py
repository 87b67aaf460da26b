"""Proof that the log is what it was: a chain of hashes over stored events, its verification, and its checkpoints."""
