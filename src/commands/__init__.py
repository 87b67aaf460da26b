"""Commands: what may be asked, and the pure decisions that answer with events."""
