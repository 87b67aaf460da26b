"""Hears from a libvirt which machines ended, through every interruption."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Event
from uuid import UUID

import libvirt  # type: ignore[import-untyped]  # the library has no types
from tenacity import Retrying, retry_if_exception_type, sleep_using_event, stop_when_event_set, wait_random_exponential

from calipso.errors import Unavailable
from calipso.runtimes.virtual_machine.answer import parsed
from calipso.runtimes.virtual_machine.hypervisor import Connection, Hypervisor, Machine, found
from calipso.runtimes.virtual_machine.marks import Owner

# the listener must notice within two seconds that it is to end, or that the connection is gone
_PATIENCE = 0.5
_LONGEST_BACK_OFF = 10
_BEGINNINGS = frozenset({libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_STARTED})
_ENDINGS = frozenset(
    {libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_CRASHED}
)
_Told = SimpleQueue[tuple[str, int]]


def ends(hypervisor: Hypervisor, owner: Owner, ended: Event) -> Iterator[UUID]:
    """The containers whose machine ended or was removed, until `ended` is set.

    Args:
        hypervisor: who tells.
        owner: of the machines that are listened for.
        ended: set when nobody listens any more.
    """
    known = _Known(hypervisor, owner)
    while not ended.is_set():
        for attempt in Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.2, max=_LONGEST_BACK_OFF),
            stop=stop_when_event_set(ended),
            sleep=sleep_using_event(ended),
            retry_error_callback=lambda _: None,
        ):
            with attempt, _listening(hypervisor) as (connection, told):
                while not ended.is_set():
                    with suppress(Empty):
                        if (container_id := known.ended(*told.get(timeout=_PATIENCE))) is not None:
                            yield container_id
                    if not connection.isAlive():
                        raise hypervisor.unavailable("the connection was lost")


class _Known:
    """Which machines are of the owner; what was removed cannot be asked any more whose it was."""

    def __init__(self, hypervisor: Hypervisor, owner: Owner) -> None:
        self._hypervisor = hypervisor
        self._owner = owner
        self._own: dict[str, UUID] = {}

    def ended(self, uuid: str, event: int) -> UUID | None:
        """The container that came to its end with an event of a machine; None when none did."""
        if event in _BEGINNINGS or (event in _ENDINGS and uuid not in self._own):
            self._hypervisor.ask(lambda c: found(lambda: self._learn(c, uuid), libvirt.VIR_ERR_NO_DOMAIN))
        if event not in _ENDINGS:
            return None
        is_last = event == libvirt.VIR_DOMAIN_EVENT_UNDEFINED
        return self._own.pop(uuid, None) if is_last else self._own.get(uuid)

    def _learn(self, connection: Connection, uuid: str) -> None:
        mark = self._owner.read(parsed(connection.lookupByUUIDString(uuid)))
        if mark is not None:
            self._own[uuid] = mark.container_id


@contextmanager
def _listening(hypervisor: Hypervisor) -> Iterator[tuple[Connection, _Told]]:
    """The connection, and what libvirt tells of every machine: its id, and what became of it."""
    told: _Told = SimpleQueue()

    def hear(_connection: Connection, domain: Machine, event: int, _detail: int, _: None) -> None:
        # this is the thread of all events, in which libvirt must not be asked
        told.put((domain.UUIDString(), event))

    def begin(connection: Connection) -> tuple[Connection, int]:
        kind = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        return connection, connection.domainEventRegisterAny(None, kind, hear, None)

    connection, number = hypervisor.ask(begin)
    try:
        yield connection, told
    finally:
        with suppress(Unavailable):
            hypervisor.ask(lambda _: connection.domainEventDeregisterAny(number))
