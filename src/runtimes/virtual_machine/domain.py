"""How an order reads for libvirt: the definition of a machine."""

import math
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from calipso.events.values import ImageSpec, Mode, Protocol, Volume
from calipso.runtimes.protocol import Order
from calipso.runtimes.services import service_port
from calipso.runtimes.virtual_machine.marks import Owner
from calipso.runtimes.virtual_machine.seed import tag
from calipso.runtimes.virtual_machine.storage import Disks

# a machine must have a size, where an image may leave it open
_MEMORY = 2 * 2**30
_PERIOD_MICROSECONDS = 100_000
_MILLI = 1000


@dataclass(frozen=True, kw_only=True)
class Host:
    """What machines of a target are like.

    `kind` is how they are run (`kvm`, or `qemu` for emulation in software), `arch` what processor they have;
    `publish_address` is where the hypervisor serves screens; `network` the network of libvirt that they are in, empty
    for none that could reach them; `shares` how folders come into them: `9p` or `virtiofs`.
    """

    kind: str
    arch: str
    publish_address: str
    network: str
    shares: str


def host_kind(capabilities: str) -> tuple[str, str]:
    """How machines with the host's own kind of processor are run, and what kind that is.

    Args:
        capabilities: what libvirt says that the host can do.
    """
    told = ET.fromstring(capabilities)  # noqa: S314 - libvirt wrote it
    own = told.findtext("host/cpu/arch", "")
    guests = [
        arch for guest in told.findall("guest") if guest.findtext("os_type") == "hvm" for arch in guest.findall("arch")
    ]
    guests.sort(key=lambda arch: arch.get("name") != own)
    for arch in guests:
        kinds = [domain.get("type", "") for domain in arch.findall("domain")]
        if kinds:
            return "kvm" if "kvm" in kinds else kinds[0], arch.get("name", "")
    return "kvm", own


def guest_port(image: ImageSpec) -> int:
    """The port in the guest on which an image's service listens; 0 where the hypervisor serves the screen by VNC."""
    is_screen = image.protocol is Protocol.VNC and not image.port_hook
    return 0 if is_screen else int(service_port(image).partition("/")[0])


def definition(order: Order, host: Host, disks: Disks, owner: Owner) -> str:
    """The definition of a machine, with the secret in it where the hypervisor asks for it."""
    request, port = order.request, guest_port(order.request.image)
    domain = ET.Element("domain", type=host.kind)
    ET.SubElement(domain, "name").text = order.name
    ET.SubElement(domain, "uuid").text = str(request.container_id)
    mark = owner.mark(request.container_id, port=port, image=disks.image)
    ET.SubElement(domain, "metadata").append(mark)
    _add_resources(domain, request.resources.millicores, request.resources.memory or _MEMORY)
    if host.shares == "virtiofs" and request.volumes:
        backing = ET.SubElement(domain, "memoryBacking")
        ET.SubElement(backing, "source", type="memfd")
        ET.SubElement(backing, "access", mode="shared")
    system = ET.SubElement(domain, "os")
    ET.SubElement(system, "type", arch=host.arch).text = "hvm"
    ET.SubElement(system, "boot", dev="hd")
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    if host.kind == "kvm":
        ET.SubElement(domain, "cpu", mode="host-model")
    ET.SubElement(domain, "clock", offset="utc")
    for event, act in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        ET.SubElement(domain, event).text = act
    devices = ET.SubElement(domain, "devices")
    _add_disks(devices, disks)
    _add_network(devices, host.network)
    _add_screen(devices, host.publish_address, "" if port else order.secret)
    _add_others(devices, disks.log)
    for number, volume in enumerate(request.volumes):
        _add_folder(devices, volume, tag(number), host.shares)
    return ET.tostring(domain, encoding="unicode")


def _add_resources(domain: ET.Element, millicores: int, memory: int) -> None:
    ET.SubElement(domain, "memory", unit="b").text = str(memory)
    ET.SubElement(domain, "vcpu").text = str(max(1, math.ceil(millicores / _MILLI)))
    if millicores % _MILLI:
        tune = ET.SubElement(domain, "cputune")
        ET.SubElement(tune, "global_period").text = str(_PERIOD_MICROSECONDS)
        ET.SubElement(tune, "global_quota").text = str(millicores * _PERIOD_MICROSECONDS // _MILLI)


def _add_disks(devices: ET.Element, disks: Disks) -> None:
    for number, (path, kind) in enumerate(((disks.clone, "qcow2"), (disks.seed, "raw"))):
        disk = ET.SubElement(devices, "disk", type="file", device="disk")
        ET.SubElement(disk, "driver", name="qemu", type=kind)
        ET.SubElement(disk, "source", file=path)
        ET.SubElement(disk, "target", dev=f"vd{'ab'[number]}", bus="virtio")
        if path == disks.seed:
            ET.SubElement(disk, "readonly")


def _add_network(devices: ET.Element, network: str) -> None:
    interface = ET.SubElement(devices, "interface", type="network" if network else "user")
    if network:
        ET.SubElement(interface, "source", network=network)
        # machines of different users do not reach each other
        ET.SubElement(interface, "port", isolated="yes")
    ET.SubElement(interface, "model", type="virtio")


def _add_screen(devices: ET.Element, address: str, secret: str) -> None:
    if secret:
        graphics = ET.SubElement(devices, "graphics", type="vnc", autoport="yes", passwd=secret)
        ET.SubElement(graphics, "listen", type="address", address=address)
        ET.SubElement(devices, "input", type="tablet", bus="usb")
    ET.SubElement(ET.SubElement(devices, "video"), "model", type="vga")


def _add_others(devices: ET.Element, log: str) -> None:
    serial = ET.SubElement(devices, "serial", type="file")
    ET.SubElement(serial, "source", path=log)
    ET.SubElement(serial, "target", port="0")
    agent = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(agent, "target", type="virtio", name="org.qemu.guest_agent.0")
    ET.SubElement(devices, "panic", model="isa")
    randomness = ET.SubElement(devices, "rng", model="virtio")
    ET.SubElement(randomness, "backend", model="random").text = "/dev/urandom"


def _add_folder(devices: ET.Element, volume: Volume, name: str, shares: str) -> None:
    folder = ET.SubElement(devices, "filesystem", type="mount", accessmode="passthrough")
    if shares == "virtiofs":
        ET.SubElement(folder, "driver", type="virtiofs")
    ET.SubElement(folder, "source", dir=volume.source)
    ET.SubElement(folder, "target", dir=name)
    if volume.mode is Mode.READ_ONLY:
        ET.SubElement(folder, "readonly")
