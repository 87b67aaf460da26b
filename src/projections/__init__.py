"""Projections: events in, rows out; one module per read model, and the Guacamole tables."""
