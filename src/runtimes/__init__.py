"""Runtimes: what makes containers, and the processes that make the record and the world agree."""
