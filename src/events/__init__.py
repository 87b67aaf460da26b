"""Facts: one module per stream holds its events, its state, and how one follows from the other."""

from calipso.events import container, experiment, image, quota, refusals, target, user

__all__ = ["container", "experiment", "image", "quota", "refusals", "target", "user"]
