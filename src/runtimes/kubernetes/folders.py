"""The folders of a pod: its volumes, and where its process finds them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from posixpath import relpath
from typing import Any

from calipso.events.container import ContainerRequested
from calipso.events.naming import container_name
from calipso.events.values import Mode, Volume
from calipso.runtimes.folders import root_of
from calipso.runtimes.services import has_secret

Manifest = dict[str, Any]

SECRET_FOLDER = "/run/secrets"  # noqa: S105 - a folder
SECRET_FILE = "vnc_password"  # noqa: S105 - a file's name
_NAMES_FILES = ("passwd", "group")
_RUN_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The folders of one pod.

    `places` says where folders are: `host` for the nodes' own, `nfs:SERVER`, or `claim:NAME:ROOT` for a claim whose top
    is the folder ROOT; `roots` are the folders below which missing ones are made.

    Of what lies below a root, the root is the volume, and the folder a path in it: so the kubelet itself sees that no
    link leads out of it, whatever becomes of the folder meanwhile.
    """

    request: ContainerRequested
    places: str
    roots: Sequence[str]

    def volumes(self) -> list[Manifest]:
        """The volumes of the pod: what lies in memory, data, and files of its secret."""
        memory = self.request.resources.memory
        run = min(memory // 8, _RUN_BYTES) if memory else _RUN_BYTES
        made = [
            {"name": "tmp", "emptyDir": {"medium": "Memory", **({"sizeLimit": str(memory // 2)} if memory else {})}},
            {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": str(run)}},
        ]
        data = [{"name": name, **self._source(top)} for top, name in self.tops.items()]
        files = [self._files("names", *_NAMES_FILES)]
        if has_secret(self.request.image):
            files.append(self._files("secret", SECRET_FILE))
        return made + data + files

    def mounts(self) -> list[Manifest]:
        """Where its process finds them."""
        made = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "run", "mountPath": "/run"}]  # noqa: S108 - inside the container
        data = [self._mount(volume) for volume in self.request.volumes]
        names = [
            {"name": "names", "mountPath": f"/etc/{file}", "subPath": file, "readOnly": True} for file in _NAMES_FILES
        ]
        held = [{"name": "secret", "mountPath": SECRET_FOLDER, "readOnly": True}]
        return made + data + names + (held if has_secret(self.request.image) else [])

    def below_a_top(self, volumes: Sequence[Volume]) -> list[Volume]:
        """Those of the volumes whose folder can be made, because it lies in a volume of the pod."""
        return [volume for volume in volumes if self._top(volume) != volume.source]

    def tops_of(self, volumes: Sequence[Volume]) -> list[Manifest]:
        """The volumes of the pod in which these lie, mounted at their own places."""
        return [{"name": self.tops[top], "mountPath": top} for top in dict.fromkeys(map(self._top, volumes))]

    @property
    def tops(self) -> Mapping[str, str]:
        """The folders that are volumes of the pod, and their names there."""
        tops = dict.fromkeys(map(self._top, self.request.volumes))
        return {top: f"data-{number}" for number, top in enumerate(tops)}

    def _top(self, volume: Volume) -> str:
        if self.places.startswith("claim:"):
            return self.places.split(":")[2]
        return root_of(volume.source, self.roots) or volume.source

    def _source(self, top: str) -> Manifest:
        kind, _, where = self.places.partition(":")
        if kind == "claim":
            return {"persistentVolumeClaim": {"claimName": where.partition(":")[0]}}
        if kind == "nfs":
            return {"nfs": {"server": where, "path": top}}
        # the node's kubelet refuses a folder that is not there, instead of making it as root
        return {"hostPath": {"path": top, "type": "Directory"}}

    def _mount(self, volume: Volume) -> Manifest:
        top = self._top(volume)
        return {
            "name": self.tops[top],
            "mountPath": volume.bind,
            "readOnly": volume.mode is Mode.READ_ONLY,
            **({} if volume.source == top else {"subPath": relpath(volume.source, top)}),
        }

    def _files(self, volume: str, *files: str) -> Manifest:
        name = container_name(self.request.container_id)
        items = [{"key": file, "path": file} for file in files]
        # nobody but the container's account lives in the pod
        return {"name": volume, "secret": {"secretName": name, "defaultMode": 0o444, "items": items}}
