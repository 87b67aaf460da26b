"""Looks at what the runtime of virtual machines makes, past the runtime: on libvirt's test driver, and on QEMU."""

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import libvirt  # type: ignore[import-untyped]  # the library has no types
from pycdlib import PyCdlib
from tests.runtimes.binding import Reality
from tests.runtimes.orders import image
from tests.runtimes.pretended_guests import PretendedGuests

from calipso.events.values import Identity, ImageSpec, Protocol, Resources, Runtime
from calipso.runtimes.protocol import Target
from calipso.runtimes.virtual_machine import VirtualMachineRuntime
from calipso.runtimes.virtual_machine.hypervisor import found, run_events
from calipso.runtimes.virtual_machine.seed import SECRET_FILE, WORKDIR_FILE

AWAY = "qemu+tcp://127.0.0.1:1/system"
_NAMES = ("tiny", "vnc", "slow", "crash", "crashlater", "exit0later", "token", "silent", "stubborn")


class VirtualMachineBinding(ABC):
    """Runtimes of two installations, and everything that they and strangers made on a libvirt of the test's own."""

    slack = 5.0

    def __init__(self, uri: str, pool: str, network: str) -> None:
        # without libvirt's events, its connections to daemons do not live
        run_events()
        self.uri = uri
        self.connection = libvirt.open(uri)
        self._pool, self._network = pool, network
        self._runtimes: list[VirtualMachineRuntime] = []

    def runtime(
        self,
        target: str = "here",
        installation: str = "ours",
        roots: tuple[str, ...] = (),
        **changes: Any,  # noqa: ANN401 - fields of the target
    ) -> VirtualMachineRuntime:
        return self._made(target, installation, {"address": self.uri, **changes}, roots)

    def away(self) -> VirtualMachineRuntime:
        return self._made("nowhere", "ours", {"address": AWAY})

    @abstractmethod
    def image(self, name: str, protocol: Protocol = Protocol.HTTP, *, logs_er: str = "") -> ImageSpec:
        """The image of this behaviour."""

    @abstractmethod
    def content(self, volume: str) -> bytes:
        """What is in a volume."""

    def kill(self, name: str) -> None:
        # it may have ended by itself
        found(self.machine(name).destroy, libvirt.VIR_ERR_OPERATION_INVALID)

    def lose(self, name: str) -> None:
        self.kill(name)
        self.machine(name).undefine()

    def occupy(self, name: str) -> None:
        kind = ET.fromstring(self.connection.getCapabilities()).find("guest/arch/domain")
        assert kind is not None
        domain = ET.Element("domain", type=kind.attrib["type"])
        ET.SubElement(domain, "name").text = name
        ET.SubElement(domain, "memory", unit="MiB").text = "32"
        ET.SubElement(ET.SubElement(domain, "os"), "type").text = "hvm"
        self.connection.defineXML(ET.tostring(domain, encoding="unicode")).create()

    def is_occupied(self, name: str) -> bool:
        machine = self.machine(name)
        return "<metadata" not in machine.XMLDesc() and bool(machine.isActive())

    def volumes(self) -> list[str]:
        """The names of all volumes in the pool."""
        pool = self.connection.storagePoolLookupByName(self._pool)
        pool.refresh()
        return [volume.name() for volume in pool.listAllVolumes()]

    def machine(self, name: str) -> Any:  # noqa: ANN401 - the library has no types
        return self.connection.lookupByName(name)

    def definition(self, name: str) -> ET.Element:
        return ET.fromstring(self.machine(name).XMLDesc())

    def seed(self, name: str) -> Mapping[str, Any]:
        """What cloud-init in the machine is told."""
        found = next(path for path in self._disks(name) if path.endswith(".seed.iso"))
        iso, text = PyCdlib(), io.BytesIO()
        iso.open_fp(io.BytesIO(self.content(found.rpartition("/")[2])))
        iso.get_file_from_iso_fp(text, joliet_path="/user-data")
        iso.close()
        head, _, body = text.getvalue().partition(b"\n")
        assert head == b"#cloud-config"
        told: Mapping[str, Any] = json.loads(body)
        return told

    def reality(self, name: str) -> Reality:
        told, definition = self.seed(name), self.definition(name)
        (user,) = told["users"]
        groups = {command[-1]: int(command[-2]) for command in told["bootcmd"] if "groupadd" in command}
        files = {file["path"]: file for file in told["write_files"]}
        secret = files.get(SECRET_FILE)
        if secret:
            assert (secret["owner"], secret["permissions"]) == (f"{user['name']}:{user['name']}", "0400")
        return Reality(
            identity=Identity(
                uid=int(user["uid"]), gid=groups[user["primary_group"]], groups=tuple(groups[g] for g in user["groups"])
            ),
            resources=Resources(
                millicores=int(definition.findtext("cputune/global_quota", "0")) // 100
                or int(definition.findtext("vcpu", "0")) * 1000,
                memory=int(definition.findtext("memory", "0")) * 1024,
            ),
            account=user["name"],
            workdir=files[WORKDIR_FILE]["content"] if WORKDIR_FILE in files else "",
            secret=secret["content"] if secret else "",
            secret_reader=int(user["uid"]) if secret else 0,
            told=self.machine(name).XMLDesc() + str(self.machine(name).state()),
        )

    def can_write(self, name: str, folder: str) -> bool:
        (mount,) = (mount for mount in self.seed(name)["mounts"] if mount[1] == folder)
        folders = self.definition(name).findall("devices/filesystem")
        (share,) = (one for one in folders if one.find(f"target[@dir='{mount[0]}']") is not None)
        is_read_only = share.find("readonly") is not None
        assert ("ro" in mount[3].split(",")) == is_read_only
        return not is_read_only

    def close(self) -> None:
        """Remove what was made with this binding."""
        for runtime in self._runtimes:
            runtime.close()
        for name in self._machines():
            self.lose(name)
        for volume in self.connection.storagePoolLookupByName(self._pool).listAllVolumes():
            if volume.name().startswith("calipso-"):
                volume.delete()
        self.connection.close()

    def _machines(self) -> list[str]:
        # the test driver has a machine of its own
        names = [machine.name() for machine in self.connection.listAllDomains()]
        return [name for name in names if name.startswith("calipso-")]

    def _disks(self, name: str) -> list[str]:
        return [source.attrib["file"] for source in self.definition(name).findall("devices/disk/source")]

    def _made(
        self, target: str, installation: str, fields: Mapping[str, Any], roots: tuple[str, ...] = ()
    ) -> VirtualMachineRuntime:
        place = Target(
            **{
                "name": target,
                "runtime": Runtime.VIRTUAL_MACHINE,
                "pool": self._pool,
                "network": self._network,
                **fields,
            }
        )
        made = VirtualMachineRuntime(
            place, installation=installation, facility="test", timeout=5, roots=roots, contents=self._contents()
        )
        self._runtimes.append(made)
        return made

    def _contents(self) -> Any:  # noqa: ANN401 - one of ours, or nothing
        return None


class PretendingBinding(VirtualMachineBinding):
    """libvirt's own test driver, which keeps machines in memory; guests of ours live in them."""

    def __init__(self) -> None:
        super().__init__("test:///default", "default-pool", "calipso-test")
        self._kept = KeptContents()
        pool = self.connection.storagePoolLookupByName("default-pool")
        for name in _NAMES:
            pool.createXML(f"<volume><name>{name}</name><capacity unit='bytes'>1048576</capacity></volume>")
        # a network of loopback addresses, so that the guests can be reached
        self.connection.networkCreateXML(_NETWORK)
        self._guests = PretendedGuests(self.connection, self._tell)

    def image(self, name: str, protocol: Protocol = Protocol.HTTP, *, logs_er: str = "") -> ImageSpec:
        spec = image(name, protocol, logs_er=logs_er, runtime=Runtime.VIRTUAL_MACHINE)
        return replace(spec, port_hook="5901/tcp") if protocol is Protocol.VNC else spec

    def content(self, volume: str) -> bytes:
        return self._kept.kept[volume]

    def close(self) -> None:
        for name in self._machines():
            self.kill(name)
        self._guests.close()
        for volume in self.connection.storagePoolLookupByName("default-pool").listAllVolumes():
            volume.delete()
        self.connection.networkLookupByName("calipso-test").destroy()
        super().close()

    def _contents(self) -> "KeptContents":
        return self._kept

    def _tell(self, name: str, text: str) -> None:
        path = self.definition(name).find("devices/serial/source")
        assert path is not None
        self._kept.kept[path.attrib["path"].rpartition("/")[2]] = text.encode()


class KeptContents:
    """The contents of volumes, which the test driver does not keep."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, volume: Any, content: bytes) -> None:  # noqa: ANN401 - the library has no types
        self.kept[volume.name()] = content

    def get(self, volume: Any, last: int) -> bytes:  # noqa: ANN401 - the library has no types
        return self.kept.get(volume.name(), b"")[-last:]


class QemuBinding(VirtualMachineBinding):
    """A daemon of the test's own, and QEMU; the guests are of one sector, and reached by the hypervisor's screen.

    Args:
        uri: the daemon's.
        pool: the storage pool with the images.
    """

    def __init__(self, uri: str, pool: str) -> None:
        super().__init__(uri, pool, "")

    def image(self, name: str, protocol: Protocol = Protocol.HTTP, *, logs_er: str = "") -> ImageSpec:  # noqa: ARG002 - all guests are alike
        # the screen is there at once, so it is the log that tells when a guest is ready
        ready = {"slow": "late", "silent": "never", "crash": "never"}.get(name, "ready")
        spec = image(name, Protocol.VNC, logs_er=ready, runtime=Runtime.VIRTUAL_MACHINE)
        return replace(spec, resources=Resources(millicores=1000, memory=spec.resources.memory))

    def content(self, volume: str) -> bytes:
        stream, chunks = self.connection.newStream(), []
        self.connection.storagePoolLookupByName(self._pool).storageVolLookupByName(volume).download(stream, 0, 0)
        while chunk := stream.recv(2**16):
            chunks.append(chunk)
        stream.finish()
        return b"".join(chunks)


_NETWORK = """
<network>
  <name>calipso-test</name>
  <bridge name='calipso-test'/>
  <ip address='127.77.0.1' netmask='255.255.255.0'>
    <dhcp><range start='127.77.0.2' end='127.77.0.254'/></dhcp>
  </ip>
</network>
"""
