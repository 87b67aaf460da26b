"""The process that serves one target."""

from typing import Annotated

import typer

from calipso.bootstrap import provisioning
from calipso.cli.common import Data
from calipso.cli.processes import NICENESS_OF_MAKING, run, serving


def provision(
    target: Annotated[str, typer.Argument(help="The name of a target of the settings, such as `docker`.")],
    data: Data = None,
) -> None:
    """Provision and reconcile the containers of one target; any number may run for each."""
    with serving(data, niceness=NICENESS_OF_MAKING) as backend:
        run(provisioning.provision(backend, target))
