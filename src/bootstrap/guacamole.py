"""Binds the projection into Guacamole's tables."""

from calipso.backend import Backend
from calipso.projections.guacamole import Guacamole


def guacamole_of(backend: Backend) -> Guacamole:
    """The projection into Guacamole's tables."""
    targets = backend.settings.effective_targets()
    return Guacamole(backend.keys, {target.name: (target.guacd_host, target.guacd_port) for target in targets})
