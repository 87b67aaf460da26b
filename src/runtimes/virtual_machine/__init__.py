"""Makes containers as virtual machines by libvirt; the files beside it hold what libvirt is told, answers and tells."""

import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from threading import Event
from uuid import UUID

import libvirt  # type: ignore[import-untyped]  # the library has no types

from calipso.events.values import FailureReason
from calipso.runtimes.protocol import Observation, Order, RuntimeFailed, Target
from calipso.runtimes.virtual_machine import seed
from calipso.runtimes.virtual_machine.answer import is_off, log_lines, observed, parsed
from calipso.runtimes.virtual_machine.domain import Host, definition, guest_port, host_kind
from calipso.runtimes.virtual_machine.folders import make_folders_of
from calipso.runtimes.virtual_machine.hypervisor import Connection, Hypervisor, Machine, found, refusals
from calipso.runtimes.virtual_machine.marks import STARTED, Owner
from calipso.runtimes.virtual_machine.storage import Contents, Pool, Streams
from calipso.runtimes.virtual_machine.watch import ends

_START_SECONDS = 120.0
_MOTION_SECONDS = 5.0
_POLL_SECONDS = 0.1
_PRESS_SECONDS = 1.0
_LOG_BYTES = 256 * 1024
_ENDED_MEANWHILE = libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN


class VirtualMachineRuntime:
    """Makes machines on one libvirt; nothing connects before it is used.

    A machine has the container's id as its own, and is defined until it is removed. Its disk is a linked clone of the
    volume that the image names, in the same pool; what belongs to it lies beside that.

    Args:
        target: which libvirt, and how its machines are reached; `address` is libvirt's URI.
        installation: the id of this installation; machines without it in their metadata are never touched.
        facility: the short id of the facility, told in the metadata.
        timeout: seconds until a libvirt that does not answer counts as away.
        roots: folders of the hypervisor below which the missing folders of volumes are made, and out of which no link
            may lead.
        contents: how volumes are filled and read.
    """

    keeps_containers = True

    def __init__(
        self,
        target: Target,
        *,
        installation: str,
        facility: str,
        timeout: float = 20,
        roots: tuple[str, ...] = (),
        contents: Contents | None = None,
    ) -> None:
        self._target = target
        self._owner = Owner(installation=installation, facility=facility, target=target.name)
        self._hypervisor = Hypervisor(target.name, target.address, timeout)
        self._contents = contents or Streams()
        self._roots = roots

    def start(self, order: Order) -> Observation:
        """Make the machine and start it; what is already there under its id and mark is adopted.

        Raises:
            RuntimeFailed: libvirt refused; nothing is left behind.
            Unavailable: libvirt did not answer; something may be left behind.
        """
        return self._hypervisor.ask(lambda connection: self._start(connection, order), seconds=_START_SECONDS)

    def observe(self, container_id: UUID) -> Observation | None:
        """Say what libvirt has of one container; None when there is nothing."""
        return self._hypervisor.ask(lambda connection: self._observation(self._own(connection, container_id)))

    def list(self) -> Mapping[UUID, Observation]:
        """Say what libvirt has of every container of this installation and target."""

        def look(connection: Connection) -> Mapping[UUID, Observation]:
            seen = map(self._observation, connection.listAllDomains())
            return {one.container_id: one for one in seen if one is not None}

        return self._hypervisor.ask(look)

    def logs(self, container_id: UUID, *, lines: int) -> tuple[str, ...]:
        """The last lines that the machine wrote to its serial port, none when it is not there."""

        def look(connection: Connection) -> tuple[str, ...]:
            if self._own(connection, container_id) is None:
                return ()
            return log_lines(self._pool(connection).log(container_id, _LOG_BYTES), lines)

        return self._hypervisor.ask(look)

    def stop(self, container_id: UUID, *, grace: timedelta) -> None:
        """Press the machine's power button, and switch it off after the grace.

        Raises:
            RuntimeFailed: the machine could not be switched off.
        """
        give_up = time.monotonic() + grace.total_seconds()
        press_at = 0.0
        while (now := time.monotonic()) < give_up:
            # a guest that is still starting does not notice that the button was pressed
            press = now >= press_at
            if self._hypervisor.ask(partial(self._is_off, container_id, press=press)):
                return
            press_at = now + _PRESS_SECONDS if press else press_at
            time.sleep(_POLL_SECONDS)
        self._hypervisor.ask(lambda connection: self._switch_off(self._own(connection, container_id)))

    def remove(self, container_id: UUID) -> None:
        """Remove the machine and its volumes, running or not.

        Raises:
            RuntimeFailed: something is left.
        """

        def work(connection: Connection) -> None:
            with refusals():
                self._remove(connection, container_id)

        self._hypervisor.ask(work, seconds=_START_SECONDS)

    def watch(self, ended: Event) -> Iterator[UUID]:
        """The containers whose machine ended or was removed, as it happens, until `ended` is set."""
        return ends(self._hypervisor, self._owner, ended)

    def ping(self) -> str:
        """The versions of libvirt and of the hypervisor, and that the pool may be looked at."""

        def look(connection: Connection) -> str:
            self._pool(connection)
            library, own = _version(connection.getLibVersion()), _version(connection.getVersion())
            return f"libvirt {library}, {connection.getType()} {own}, storage pool {self._target.pool}"

        return self._hypervisor.ask(look)

    def close(self) -> None:
        """Give back the connection."""
        self._hypervisor.close()

    def _start(self, connection: Connection, order: Order) -> Observation:
        with refusals():
            machine = self._adopted(connection, order) or self._make(connection, order)
        try:
            with refusals():
                self._launch(machine)
        except RuntimeFailed:
            self._remove(connection, order.request.container_id)
            raise
        seen = self._observation(machine)
        if seen is None:
            raise self._hypervisor.unavailable(f"{order.name} was removed while it was started")
        return seen

    def _adopted(self, connection: Connection, order: Order) -> Machine | None:
        """The machine that is there already, if it is ours."""
        looks = (
            lambda: connection.lookupByUUIDString(str(order.request.container_id)),
            lambda: connection.lookupByName(order.name),
        )
        is_taken = any(found(look, libvirt.VIR_ERR_NO_DOMAIN) is not None for look in looks)
        # after the looks, for somebody else may be starting it at this moment
        own = self._own(connection, order.request.container_id)
        if own is not None:
            return own
        if is_taken:
            detail = f"the name {order.name} is taken by a machine that is not of this target"
            raise RuntimeFailed(reason=FailureReason.REJECTED, detail=detail)
        return None

    def _make(self, connection: Connection, order: Order) -> Machine:
        request, pool = order.request, self._pool(connection)
        make_folders_of(self._target.address, request.volumes, request.identity, self._roots)
        base = pool.base(request.image.reference)
        # the clone's name is the lock: who finds it there lets who made it go on
        if not pool.claim(base, request.container_id, request.resources.disk):
            other = self._awaited(connection, request.container_id)
            if other is not None:
                return other
        try:
            with refusals():
                disks = pool.fill(base, request.container_id, self._seed(order))
                return connection.defineXML(definition(order, self._host(connection), disks, self._owner))
        except RuntimeFailed:
            pool.remove(request.container_id)
            raise

    def _launch(self, machine: Machine) -> None:
        """Start a machine that never ran, and mark that it did."""
        mark = self._owner.read(parsed(machine))
        if mark is None or mark.has_started:
            return
        if is_off(machine):
            try:
                machine.create()
            except libvirt.libvirtError:
                # somebody else started it meanwhile, which each hypervisor tells with a code of its own
                if is_off(machine):
                    raise
        machine.setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT,
            "<started/>",
            "calipso-started",
            STARTED,
            libvirt.VIR_DOMAIN_AFFECT_CONFIG,
        )

    def _awaited(self, connection: Connection, container_id: UUID) -> Machine | None:
        """The machine that somebody else is making; None when nobody is."""
        give_up = time.monotonic() + _MOTION_SECONDS
        while (own := self._own(connection, container_id)) is None and time.monotonic() < give_up:
            time.sleep(_POLL_SECONDS)
        return own

    def _own(self, connection: Connection, container_id: UUID) -> Machine | None:
        def look() -> Machine:
            machine = connection.lookupByUUIDString(str(container_id))
            return machine if self._owner.read(parsed(machine)) is not None else None

        return found(look, libvirt.VIR_ERR_NO_DOMAIN)

    def _observation(self, machine: Machine | None) -> Observation | None:
        if machine is None:
            return None

        def look() -> Observation | None:
            definition = parsed(machine)
            mark = self._owner.read(definition)
            return None if mark is None else observed(machine, definition, mark, self._target.public_host)

        return found(look, libvirt.VIR_ERR_NO_DOMAIN)

    def _is_off(self, container_id: UUID, connection: Connection, *, press: bool) -> bool:
        machine = self._own(connection, container_id)
        if machine is None or found(lambda: is_off(machine), libvirt.VIR_ERR_NO_DOMAIN) is not False:
            return True
        if press:
            with refusals():
                found(machine.shutdown, *_ENDED_MEANWHILE)
        return False

    def _switch_off(self, machine: Machine | None) -> None:
        if machine is not None:
            with refusals():
                found(machine.destroy, *_ENDED_MEANWHILE)

    def _remove(self, connection: Connection, container_id: UUID) -> None:
        machine = self._own(connection, container_id)
        self._switch_off(machine)
        # the machine goes last, so that what could not be removed is still seen
        self._pool(connection).remove(container_id)
        if machine is not None:
            flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            found(lambda: machine.undefineFlags(flags), libvirt.VIR_ERR_NO_DOMAIN)

    def _pool(self, connection: Connection) -> Pool:
        return Pool(connection, self._target.pool, self._owner, self._contents)

    def _host(self, connection: Connection) -> Host:
        kind, arch = host_kind(connection.getCapabilities())
        target = self._target
        return Host(
            kind=kind,
            arch=arch,
            publish_address=target.publish_address,
            network=target.network,
            shares=target.shares,
        )

    def _seed(self, order: Order) -> bytes:
        own_screen = not guest_port(order.request.image)
        return seed.disk(order, seed.user_data(order, own_screen=own_screen, shares=self._target.shares))


def _version(number: int) -> str:
    """A version as libvirt counts them."""
    return f"{number // 10**6}.{number // 1000 % 1000}.{number % 1000}"
