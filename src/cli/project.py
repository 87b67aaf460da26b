"""The process of the projections."""

from calipso.bootstrap import projecting
from calipso.cli.common import Data
from calipso.cli.processes import NICENESS_OF_SHOWING, run, serving


def project(data: Data = None) -> None:
    """Keep the read models and Guacamole's tables up to date."""
    with serving(data, niceness=NICENESS_OF_SHOWING) as backend:
        run(projecting.project(backend))
