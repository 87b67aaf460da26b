"""The processes of an installation, each on its own; `serve` runs all of them on one machine."""

import asyncio
import gc
import signal
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from calipso import bootstrap, prepared, roles
from calipso.api import server
from calipso.backend import Backend
from calipso.cli.common import Data, confirm, running
from calipso.errors import CalipsoError
from calipso.supervisor import watch_parent

_THREADS = 64
_NICENESS = 5  # a third of the share of the others


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on; CALIPSO_HOST by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; CALIPSO_PORT by default.")] = None,
    data: Data = None,
) -> None:
    """Serve the REST interface; any number of these may run."""
    with serving(data) as backend:
        given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
        server.run(Backend(backend.settings.model_copy(update=given)))


def project(data: Data = None) -> None:
    """Keep the read models and Guacamole's tables up to date."""
    with serving(data) as backend:
        run(bootstrap.project(backend))


def relay(data: Data = None) -> None:
    """Publish stored events to NATS; of several, one is active."""
    with serving(data) as backend:
        run(bootstrap.relay(backend))


def republish(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, data: Data = None) -> None:
    """Empty the stream on NATS and publish every event again, when it tells of events that a restored store has not."""
    with running(data) as backend:
        confirm("Empty the stream? Services that follow it get every event once more.", yes=yes)
        asyncio.run(bootstrap.republish(backend))
    print("the stream is empty; a relay fills it from the first event on")


def provision(
    target: Annotated[str, typer.Argument(help="The name of a target of the settings, such as `docker`.")],
    data: Data = None,
) -> None:
    """Provision and reconcile the containers of one target; any number may run for each."""
    with serving(data, niceness=_NICENESS) as backend:
        run(bootstrap.provision(backend, target))


def migrate(
    guacamole: Annotated[bool, typer.Option("--guacamole", help="Only what Guacamole's database needs.")] = False,
    print_sql: Annotated[
        bool, typer.Option("--print-sql", help="With --guacamole: print the statements for its administrator.")
    ] = False,
    print_roles: Annotated[
        bool,
        typer.Option("--print-roles", help="Print the statements that give each process a role with the least rights."),
    ] = False,
    data: Data = None,
) -> None:
    """Prepare the databases; harmless to repeat."""
    if print_roles:
        print("".join(f"{statement};\n" for statement in roles.statements()), end="")
        return
    with running(data) as backend:
        if guacamole and print_sql:
            engine = backend.guacamole_engine
            if engine is None:
                raise typer.BadParameter("CALIPSO_GUACAMOLE_DATABASE_URL names no database")
            print(bootstrap.guacamole_of(backend).ddl(engine.dialect))
            return
        bootstrap.migrate(backend, make_guacamole=False)
    print("the databases are prepared")


@contextmanager
def serving(data: Path | None, *, niceness: int = 0) -> Iterator[Backend]:
    """The system for a process that serves it, and that ends with what started it; see `watch_parent`."""
    watch_parent(niceness=niceness)
    with running(data) as backend:
        prepared.require(backend.database)
        # what is loaded now lives as long as the process: no collection of garbage needs to look at it again
        gc.freeze()
        yield backend


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run until SIGINT or SIGTERM, then end in order.

    Raises:
        CalipsoError: what ended it, such as the loss of a lock; a supervisor starts it again.
    """

    async def main() -> None:
        # the default is a few threads more than processors, but ours wait for targets and databases
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS))
        task = asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return

    try:
        asyncio.run(main())
    except ExceptionGroup as group:
        foreseen, others = group.split(CalipsoError)
        if foreseen is None or others is not None:
            raise
        raise _first(foreseen) from None


def _first(error: Exception) -> Exception:
    """The error that ended a group of tasks: the others were only cancelled."""
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
