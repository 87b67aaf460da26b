"""Calipso: remote desktops, notebooks and tools beside the experiment data of a research facility."""
