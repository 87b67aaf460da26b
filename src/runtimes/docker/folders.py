"""Makes missing folders of volumes where an engine is, and sees that they are what it mounts.

On this host a program of its own does it; on an engine elsewhere a short-lived container there.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import requests
from docker import APIClient
from docker.errors import APIError, ImageNotFound
from docker.types import Mount

from calipso.errors import Unavailable
from calipso.events.container import ContainerRequested
from calipso.events.values import FailureReason
from calipso.runtimes.docker.answer import log_lines
from calipso.runtimes.docker.engine import Engine, remove_container, words
from calipso.runtimes.docker.order import Labels
from calipso.runtimes.folders import Looker, dead, rejected, root_of, script
from calipso.runtimes.protocol import RuntimeFailed

_PROCESSES, _MEMORY = 32, 64 * 2**20
_SLACK_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The folders of one container.

    Args:
        make: makes those that are missing, as its account; raises `RuntimeFailed` when one cannot be made or does not
            answer, or a link leads out of its root, and `Unavailable` when the engine did not answer.
        check_mounted: sees that what the container has mounted, by what the engine says of it, are its folders, whoever
            moved links while it was started; raises `RuntimeFailed` when something else is mounted.
    """

    make: Callable[[], None]
    check_mounted: Callable[[Mapping[str, Any]], None]


class Elsewhere:
    """The folders of an engine that is not on this host.

    Args:
        engine: where they are.
        labels: mark the short-lived containers.
        image: what they are made from, with a shell and `mkdir` in it; empty: the image of the container itself.
        roots: folders below which missing folders are made, and out of which no link may lead; they must be there.
        seconds: the time until a folder counts as away.
    """

    def __init__(self, engine: Engine, labels: Labels, image: str, roots: tuple[str, ...], seconds: int) -> None:
        self._engine = engine
        self._labels = labels
        self._image = image
        self._roots = roots
        self._seconds = seconds

    @contextmanager
    def of(self, request: ContainerRequested) -> Iterator[Folders]:
        """The folders of a container, for the time of a block."""
        yield Folders(make=partial(self._make, request), check_mounted=partial(self._check_mounted, request))

    def remove_left(self, container_id: UUID) -> None:
        """Remove what a provisioner left that came to its end while it made folders."""
        with self._engine.client() as client:
            for left in client.containers(all=True, filters={"label": self._labels.of_folders(container_id)}):
                remove_container(client, left["Id"])

    def _make(self, request: ContainerRequested) -> None:
        if not request.volumes:
            return
        with self._engine.client() as client:
            try:
                self._run(client, request, script.command(request.volumes, self._roots, self._seconds))
            except ImageNotFound as error:
                if self._image:
                    detail = f"{words(error)}; it is the target's folder_image, and must be brought there"
                    raise RuntimeFailed(reason=FailureReason.IMAGE_MISSING, detail=detail) from error
                # the container itself will not be made either, and tells of it
            except APIError as error:
                raise rejected(_without_shell(words(error))) from error
            except requests.Timeout as error:
                self._check_answers(client)
                raise dead(", ".join(volume.source for volume in request.volumes), self._seconds) from error

    def _check_mounted(self, request: ContainerRequested, found: Mapping[str, Any]) -> None:
        if not any(root_of(volume.source, self._roots) for volume in request.volumes):
            return
        command = script.comparison(request.volumes, self._roots)
        with self._engine.client() as client:
            try:
                self._run(client, request, command, beside=found["Id"])
            except APIError as error:
                if _process(client.inspect_container(found["Id"])):
                    raise rejected(_without_shell(words(error))) from error

    def _run(self, client: APIClient, request: ContainerRequested, command: list[str], *, beside: str = "") -> None:
        host_config = self._host_config(client, request, beside)
        made = client.create_container(**self._settings(request), entrypoint=command, host_config=host_config)
        try:
            client.start(made["Id"])
            patience = self._seconds * len(request.volumes) + _SLACK_SECONDS
            status = client.wait(made["Id"], timeout=patience)["StatusCode"]
            if status:
                told = log_lines(client.logs(made["Id"], tail=1), 1)
                raise rejected(told[0] if told else f"the folders could not be looked at: exit code {status}")
        finally:
            remove_container(client, made["Id"])

    def _settings(self, request: ContainerRequested) -> dict[str, Any]:
        identity = request.identity
        return {
            "image": self._image or request.image.reference,
            "user": f"{identity.uid}:{identity.gid}",
            "working_dir": "/",
            "network_disabled": True,
            "labels": dict(label.split("=", 1) for label in self._labels.of_folders(request.container_id)),
            "use_config_proxy": False,
        }

    def _host_config(self, client: APIClient, request: ContainerRequested, beside: str) -> dict[str, Any]:
        roots = {volume.source: root_of(volume.source, self._roots) for volume in request.volumes}
        # what lies below no root is mounted to see that it is there
        others = [source for source, root in roots.items() if not root]
        made: dict[str, Any] = client.create_host_config(
            mounts=[
                *(Mount(target=root, source=root, type="bind") for root in dict.fromkeys(filter(None, roots.values()))),
                *(
                    Mount(target=f"/mnt/{number}", source=source, type="bind", read_only=True)
                    for number, source in enumerate(others)
                ),
            ],
            group_add=[str(group) for group in request.identity.groups],
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            pids_limit=_PROCESSES,
            mem_limit=_MEMORY,
            pid_mode=f"container:{beside}" if beside else None,
        )
        return made

    def _check_answers(self, client: APIClient) -> None:
        """That the engine itself answers.

        Raises:
            Unavailable: it does not.
        """
        try:
            client.ping()
        except requests.Timeout as error:
            raise Unavailable(part="the engine", reason=str(error)) from error


class Here(Elsewhere):
    """The folders of an engine on this host; the same arguments."""

    @contextmanager
    def of(self, request: ContainerRequested) -> Iterator[Folders]:
        """The folders of a container, for the time of a block."""
        with Looker(request.volumes, request.identity, self._roots, seconds=self._seconds) as looker:
            yield Folders(make=looker.make_folders, check_mounted=partial(self._check, request, looker))

    def remove_left(self, container_id: UUID) -> None:
        """Remove what a provisioner left that came to its end while it compared folders; root needs no such thing."""
        if os.geteuid() != 0:
            super().remove_left(container_id)

    def _check(self, request: ContainerRequested, looker: Looker, found: Mapping[str, Any]) -> None:
        process = _process(found)
        if process and not looker.check_mounted(process):
            # only root sees what others have mounted; whoever may use the engine sees it from beside them
            self._check_mounted(request, found)


def _process(found: Mapping[str, Any]) -> int:
    """The number of a container's first process on the engine's host; 0 when it does not run."""
    return int(found["State"]["Pid"])


def _without_shell(told: str) -> str:
    if "/bin/sh" not in told:
        return told
    return f"{told}; folders are made with the image's /bin/sh: give the target a folder_image that has one"
