"""The volumes of machines in a storage pool: linked clones, seeds of cloud-init, logs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID
from xml.etree import ElementTree as ET

import libvirt  # type: ignore[import-untyped]  # the library has no types

from calipso.events.values import FailureReason
from calipso.runtimes.protocol import RuntimeFailed
from calipso.runtimes.virtual_machine.hypervisor import Connection, StoredVolume, Stream, found
from calipso.runtimes.virtual_machine.marks import Owner

_OWN_ONLY = "0600"
_CHUNK = 256 * 1024


class Contents(Protocol):
    """Writes and reads what is in volumes; libvirt's test driver, which has no bytes, cannot."""

    def put(self, volume: StoredVolume, content: bytes) -> None:
        """Make this the content of a volume."""

    def get(self, volume: StoredVolume, last: int) -> bytes:
        """The last bytes of a volume, at most so many."""


class Streams:
    """Contents by libvirt's own streams, from wherever libvirt is."""

    def put(self, volume: StoredVolume, content: bytes) -> None:
        """Make this the content of a volume."""
        stream = volume.connect().newStream()
        try:
            volume.upload(stream, 0, len(content))
            for begin in range(0, len(content), _CHUNK):
                _send(stream, memoryview(content)[begin : begin + _CHUNK])
            stream.finish()
        except BaseException:
            stream.abort()
            raise

    def get(self, volume: StoredVolume, last: int) -> bytes:
        """The last bytes of a volume, at most so many."""
        _, size, _ = volume.info()
        begin = max(0, size - last)
        if begin == size:
            return b""
        stream = volume.connect().newStream()
        try:
            volume.download(stream, begin, size - begin)
            content = b"".join(iter(lambda: stream.recv(_CHUNK), b""))
            stream.finish()
        except BaseException:
            stream.abort()
            raise
        return content


@dataclass(frozen=True, kw_only=True)
class Disks:
    """The paths of a machine's volumes, as the hypervisor knows them, and which disk the clone is one of."""

    clone: str
    seed: str
    log: str
    image: str


class Pool:
    """One storage pool.

    Args:
        connection: to its libvirt.
        name: of the pool.
        owner: whose volumes these are.
        contents: how they are filled and read.
    """

    def __init__(self, connection: Connection, name: str, owner: Owner, contents: Contents) -> None:
        self._pool = connection.storagePoolLookupByName(name)
        self._name = name
        self._owner = owner
        self._contents = contents

    def base(self, reference: str) -> StoredVolume:
        """The disk that an image names.

        Raises:
            RuntimeFailed: the pool has no such volume.
        """
        volume = self._volume(reference)
        if volume is None:
            # somebody may have put it there since the pool was last looked through
            found(self._pool.refresh, libvirt.VIR_ERR_INTERNAL_ERROR)
            volume = self._volume(reference)
        if volume is None:
            detail = f"the storage pool {self._name} has no volume {reference}, so it must be brought there before"
            raise RuntimeFailed(reason=FailureReason.IMAGE_MISSING, detail=detail)
        return volume

    def claim(self, base: StoredVolume, container_id: UUID, size: int) -> bool:
        """Make the linked clone of a disk; whether it was not there already.

        Args:
            base: the disk, which from now on must stay as it is.
            container_id: whose clone it is.
            size: bytes that the clone has at least; it is never smaller than the disk.
        """
        _, capacity, _ = base.info()
        clone = _described(self._clone(container_id), capacity=max(capacity, size), kind="qcow2")
        backing = ET.SubElement(clone, "backingStore")
        ET.SubElement(backing, "path").text = base.path()
        ET.SubElement(backing, "format", type=_kind(base))
        try:
            self._pool.createXML(ET.tostring(clone, encoding="unicode"))
        except libvirt.libvirtError:
            if self._volume(self._clone(container_id)) is None:
                raise
            return False
        return True

    def fill(self, base: StoredVolume, container_id: UUID, seed: bytes) -> Disks:
        """Make the seed and the log beside the clone; both anew when they are there.

        Args:
            base: the disk that the clone is one of.
            container_id: whose they are.
            seed: the content of the seed.
        """
        prefix = self._owner.prefix(container_id)
        log = self._made(f"{prefix}log", 0)
        filled = self._made(f"{prefix}seed.iso", len(seed))
        self._contents.put(filled, seed)
        clone = self._pool.storageVolLookupByName(self._clone(container_id))
        return Disks(clone=clone.path(), seed=filled.path(), log=log.path(), image=_identity(self._name, base))

    def log(self, container_id: UUID, last: int) -> bytes:
        """The last bytes that a machine wrote to its serial port."""
        volume = self._volume(f"{self._owner.prefix(container_id)}log")
        return b"" if volume is None else self._contents.get(volume, last)

    def remove(self, container_id: UUID) -> None:
        """Delete all volumes of a container."""
        # what keeps a log turns it over by itself, unseen by the pool until it is looked through
        found(self._pool.refresh, libvirt.VIR_ERR_INTERNAL_ERROR)
        prefix = self._owner.prefix(container_id)
        for volume in self._pool.listAllVolumes():
            if volume.name().startswith(prefix):
                found(volume.delete, libvirt.VIR_ERR_NO_STORAGE_VOL)

    def _clone(self, container_id: UUID) -> str:
        return f"{self._owner.prefix(container_id)}qcow2"

    def _made(self, name: str, size: int) -> StoredVolume:
        if (old := self._volume(name)) is not None:
            found(old.delete, libvirt.VIR_ERR_NO_STORAGE_VOL)
        described = _described(name, capacity=size, kind="raw")
        return self._pool.createXML(ET.tostring(described, encoding="unicode"))

    def _volume(self, name: str) -> StoredVolume:
        return found(lambda: self._pool.storageVolLookupByName(name), libvirt.VIR_ERR_NO_STORAGE_VOL)


def _described(name: str, *, capacity: int, kind: str) -> ET.Element:
    volume = ET.Element("volume")
    ET.SubElement(volume, "name").text = name
    ET.SubElement(volume, "capacity", unit="bytes").text = str(capacity)
    ET.SubElement(volume, "allocation", unit="bytes").text = "0"
    target = ET.SubElement(volume, "target")
    ET.SubElement(target, "format", type=kind)
    ET.SubElement(ET.SubElement(target, "permissions"), "mode").text = _OWN_ONLY
    return volume


def _kind(volume: StoredVolume) -> str:
    """The format of a volume; a guess by QEMU would let a guest choose what is read of the host."""
    return _attribute(volume, "target/format", "type") or "raw"


def _identity(pool: str, volume: StoredVolume) -> str:
    """Which disk this is, as far as a pool can tell: its name, and when it was last written."""
    written = ET.fromstring(volume.XMLDesc()).findtext("target/timestamps/mtime")  # noqa: S314 - libvirt wrote it
    return f"{pool}/{volume.name()}" + (f"@{written}" if written else "")


def _attribute(volume: StoredVolume, path: str, name: str) -> str:
    element = ET.fromstring(volume.XMLDesc()).find(path)  # noqa: S314 - libvirt wrote it
    attributes: Mapping[str, str] = {} if element is None else element.attrib
    return attributes.get(name, "")


def _send(stream: Stream, part: memoryview) -> None:
    while part:
        part = part[stream.send(bytes(part)) :]
