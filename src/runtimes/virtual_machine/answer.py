"""What libvirt says of a machine, as observations and log lines."""

import ipaddress
import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import libvirt  # type: ignore[import-untyped]  # the library has no types

from calipso.runtimes.protocol import Observation, Status
from calipso.runtimes.virtual_machine.hypervisor import Machine, is_trouble
from calipso.runtimes.virtual_machine.marks import Mark

_ENDED, _FAILED, _KILLED = 0, 1, 137
# a machine has no exit code, so these stand for how it ended
_ENDINGS = {
    libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: (_ENDED, ""),
    libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: (_KILLED, ""),
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: (_FAILED, "the guest crashed"),
    libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: (_FAILED, "it was moved to another host"),
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: (_FAILED, "it was suspended to disk"),
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: (_FAILED, "the hypervisor failed to start it"),
}
_UNKNOWN = (_FAILED, "it ended while libvirt was not there to see")
_OFF = frozenset({libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED})
_SOURCES = (
    libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
    libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
    libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
)
_LINE_LENGTH = 1000
# terminal sequences first, then what is left of control characters; a tab may stay
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def parsed(domain: Machine) -> ET.Element:
    """The definition of a machine, without its secrets."""
    return ET.fromstring(domain.XMLDesc())  # noqa: S314 - libvirt wrote it


def is_off(domain: Machine) -> bool:
    """Whether a machine does not run."""
    return domain.state()[0] in _OFF


def observed(domain: Machine, definition: ET.Element, mark: Mark, public_host: str) -> Observation:
    """The observation in a machine.

    Args:
        domain: the machine.
        definition: its definition.
        mark: what that says of its container.
        public_host: where the hypervisor's screens are reached.
    """
    state, why = domain.state()
    status = Status.RUNNING
    if state in _OFF:
        has_never_run = why == libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN and not mark.has_started
        status = Status.CREATED if has_never_run else Status.EXITED
    exit_code, detail = _ENDINGS.get(why, _UNKNOWN) if status is Status.EXITED else (None, _pause(state, why))
    host, port = _service(domain, definition, mark, public_host) if status is Status.RUNNING else ("", 0)
    return Observation(
        container_id=mark.container_id,
        runtime_id=domain.UUIDString(),
        name=domain.name(),
        status=status,
        host=host,
        port=port,
        image_digest=mark.image,
        exit_code=exit_code,
        detail=detail,
    )


def log_lines(raw: bytes, count: int) -> tuple[str, ...]:
    """The last lines of a serial port as plain text, each of a bounded length."""
    text = raw.decode(errors="replace")
    return tuple(_CONTROL.sub("", line)[:_LINE_LENGTH] for line in text.splitlines()[-count:])


def _pause(state: int, why: int) -> str:
    is_full = state == libvirt.VIR_DOMAIN_PAUSED and why == libvirt.VIR_DOMAIN_PAUSED_IOERROR
    return "paused: its disk cannot be written, the storage may be full" if is_full else ""


def _service(domain: Machine, definition: ET.Element, mark: Mark, public_host: str) -> tuple[str, int]:
    """Where the service is reached; port 0 while nobody knows."""
    if not mark.port:
        graphics = definition.find("devices/graphics[@type='vnc']")
        return public_host, max(0, int(graphics.get("port", "0"))) if graphics is not None else 0
    address = next(_addresses(domain), "")
    return address, mark.port if address else 0


def _addresses(domain: Machine) -> Iterator[str]:
    """The addresses of a guest, as its network, its neighbours, or an agent in it know them."""
    for source in _SOURCES:
        try:
            told = domain.interfaceAddresses(source)
        except libvirt.libvirtError as error:
            if is_trouble(error):
                raise
            continue
        entries = [entry["addr"] for interface in told.values() for entry in interface["addrs"] or ()]
        addresses = sorted(map(ipaddress.ip_address, entries), key=lambda address: address.version)
        yield from (str(address) for address in addresses if not address.is_link_local)
