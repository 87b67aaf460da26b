"""The process that serves the REST interface."""

from typing import Annotated

import typer

from calipso.api import server
from calipso.backend import Backend
from calipso.cli.common import Data
from calipso.cli.processes import serving, spare_collections


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on; CALIPSO_HOST by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; CALIPSO_PORT by default.")] = None,
    data: Data = None,
) -> None:
    """Serve the REST interface; any number of these may run."""
    with serving(data) as backend:
        given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
        server.run(Backend(backend.settings.model_copy(update=given)), on_ready=lambda _: spare_collections())
