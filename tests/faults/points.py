"""Crash points: named moments of the program, laid around it from outside, at which it can be killed.

The program itself has none. `lay` wraps what writes, what calls a runtime and what acknowledges, in a process that was
made for tests; each call is a point before it and one after it. Reached points are noted in a file. The process kills
itself at the point that another file names, once.
"""

import functools
import inspect
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from docker import APIClient

from calipso.bus import Bus
from calipso.bus.queue import Delivery
from calipso.events.envelope import Event
from calipso.projections.guacamole import Guacamole
from calipso.projections.registry import read_models
from calipso.projections.runner import Runner
from calipso.runtimes.docker import DockerRuntime
from calipso.store import PostgresStore

_RUNTIME_CALLS = ("start", "stop", "remove")
_ENGINE_CALLS = ("create_container", "put_archive", "start", "stop", "remove_container")


class Points:
    """The points of one process.

    Args:
        process: the first word of their names.
        reached: the file in which those that were reached are noted, one a line.
        armed: the file that names the point of death; it is gone before the process is.
    """

    def __init__(self, process: str, reached: Path, armed: Path) -> None:
        self._process = process
        self._reached = reached
        self._armed = armed

    def at(self, name: str) -> None:
        """A point is reached."""
        point = f"{self._process} {name}"
        with self._reached.open("a") as file:
            file.write(f"{point}\n")
        if self._armed.exists() and self._armed.read_text() == point:
            self._armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def lay(self) -> None:
        """Lay points around every write, runtime call and acknowledgement of this process."""
        self._around(
            PostgresStore, "append_all", lambda _, appends: [f"append {_names(one.events)}" for one in appends]
        )
        for call in _RUNTIME_CALLS:
            self._around(DockerRuntime, call, lambda *_, _call=call, **__: [f"runtime {_call}"])
        for call in _ENGINE_CALLS:
            self._around(APIClient, call, lambda *_, _call=call, **__: [f"engine {_call}"])
        self._around(Bus, "_publish", lambda _, message, __: [f"publish {_event_of(message.subject)}"])
        self._around(Delivery, "done", lambda delivery: [f"acknowledge {_event_of(delivery.raw[0])}"])
        for projection in {*map(type, read_models()), Guacamole}:
            self._around(projection, "apply", lambda projection, *_: [f"apply {projection.name}"])
        # before it all is committed, after it all is told
        self._around(Runner, "settle", lambda one, page: [f"settle {one.projection.name}"] if page.events else [])

    def _around(self, owner: type, method: str, names: Callable[..., Sequence[str]]) -> None:
        inner = getattr(owner, method)

        def tell(when: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            for name in names(*arguments, **named):
                self.at(f"{when} {name}")

        @functools.wraps(inner)
        def blocking(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as the method that it wraps
            tell("before", arguments, named)
            result = inner(*arguments, **named)
            tell("after", arguments, named)
            return result

        @functools.wraps(inner)
        async def waiting(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
            tell("before", arguments, named)
            result = await inner(*arguments, **named)
            tell("after", arguments, named)
            return result

        setattr(owner, method, waiting if inspect.iscoroutinefunction(inner) else blocking)


def _names(events: Sequence[Event]) -> str:
    return "+".join(type(event).__name__ for event in events)


def _event_of(subject: str) -> str:
    """The event's name in a subject such as `calipso.v1.facility.container.ContainerStarted.docker`."""
    return subject.split(".")[4]
