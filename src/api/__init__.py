"""The REST interface: parse, dispatch or query, respond."""
