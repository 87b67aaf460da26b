"""Binds the parts to processes: what prepares the databases, projects, relays and provisions, each in a module."""
