"""Makes containers on a Docker Engine; the files beside it hold what the engine is told, answers and tells."""

import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from threading import Event
from typing import Any
from uuid import UUID

from docker import APIClient
from docker.errors import APIError, ImageNotFound, NotFound
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from calipso.errors import Unavailable
from calipso.events.naming import container_name
from calipso.events.values import FailureReason
from calipso.runtimes.docker.answer import inspected, listed, log_lines, status
from calipso.runtimes.docker.engine import CONFLICT, Engine, remove_container, words
from calipso.runtimes.docker.files import put_files
from calipso.runtimes.docker.folders import Elsewhere, Folders, Here
from calipso.runtimes.docker.guard import Guard
from calipso.runtimes.docker.image_names import ImageNames
from calipso.runtimes.docker.network import BRIDGE_PREFIX, ensure_network
from calipso.runtimes.docker.order import (
    NAMES_FOLDER,
    SECRET_FOLDER,
    Labels,
    Limits,
    host_settings,
    names_files,
    secret_files,
    settings,
)
from calipso.runtimes.docker.watch import ends
from calipso.runtimes.folders import SECONDS
from calipso.runtimes.names import names_for
from calipso.runtimes.protocol import Observation, Order, RuntimeFailed, Status, Target
from calipso.runtimes.services import has_secret

_MOTION_SECONDS = 5
# a network without containers that run goes with `docker network prune`
_CAN_VANISH = ("No such container", f"network {BRIDGE_PREFIX}")


class _InMotion(Unavailable):
    """Somebody else is making or removing the container at this moment."""


class DockerRuntime:
    """Makes containers on one Docker Engine; nothing connects before it is used.

    Args:
        target: which engine, and how its containers are reached.
        installation: the id of this installation; containers without it as a label are never touched.
        facility: the short id of the facility, as a label.
        pids_limit: processes of one container.
        log_max_bytes: size of each of the two files in which an engine keeps a container's log.
        roots: folders below which the missing folders of volumes are made, and out of which no link may lead.
        folder_seconds: the time until a folder of a volume counts as away.
        timeout: seconds until an engine that does not answer counts as away.
    """

    keeps_containers = True

    def __init__(
        self,
        target: Target,
        *,
        installation: str,
        facility: str,
        pids_limit: int = 512,
        log_max_bytes: int = 10 * 2**20,
        roots: tuple[str, ...] = (),
        folder_seconds: int = SECONDS,
        timeout: int = 20,
    ) -> None:
        self._target = target
        self._engine = Engine(target, timeout)
        self._labels = Labels(installation=installation, facility=facility, target=target.name)
        self._limits = Limits(processes=pids_limit, log_bytes=log_max_bytes, publish_address=target.publish_address)
        self._guard = Guard(is_wanted=target.guards_host)
        self._image_names = ImageNames()
        kind = Here if self._engine.is_local else Elsewhere
        self._folders = kind(self._engine, self._labels, target.folder_image, roots, folder_seconds)

    def start(self, order: Order) -> Observation:
        """Make the container and start its process; what is already there under its name and labels is adopted.

        Raises:
            RuntimeFailed: the engine refused; nothing is left behind.
            Unavailable: the engine did not answer; something may be left behind.
        """
        self._folders.remove_left(order.request.container_id)
        # a name is taken before its container can be seen
        attempts = Retrying(
            retry=retry_if_exception_type(_InMotion),
            wait=wait_fixed(0.05),
            stop=stop_after_delay(_MOTION_SECONDS),
            reraise=True,
        )
        with self._folders.of(order.request) as folders:
            folders.make()
            return attempts(self._start, order, folders)

    def observe(self, container_id: UUID) -> Observation | None:
        """Say what the engine has of one container; None when there is nothing."""
        with self._engine.client() as client:
            found = self._found(client, container_id)
        return self._observation(found, container_id) if found else None

    def list(self) -> Mapping[UUID, Observation]:
        """Say what the engine has of every container of this installation and target.

        What makes the folders of a container stands for it until it is there itself: it must not be left behind either.
        """
        observations: dict[UUID, Observation] = {}
        with self._engine.client() as client:
            for item in client.containers(all=True, filters={"label": self._labels.filters()}):
                if prepared := self._labels.prepared(item["Labels"]):
                    observations.setdefault(prepared, listed(item, prepared, self._target.public_host))
                container_id = self._labels.owned(item["Labels"])
                if container_id is None:
                    continue
                observation: Observation | None = listed(item, container_id, self._target.public_host)
                if status(item["State"]) is Status.EXITED:
                    observation = self._ended(client, item["Id"], container_id)
                if observation:
                    observations[container_id] = observation
        return observations

    def logs(self, container_id: UUID, *, lines: int) -> tuple[str, ...]:
        """The last lines of the container's log, none when it is not there."""
        with self._engine.client() as client:
            try:
                found = self._found(client, container_id)
                return log_lines(client.logs(found["Id"], tail=lines), lines) if found else ()
            except NotFound:
                return ()

    def stop(self, container_id: UUID, *, grace: timedelta) -> None:
        """End the container's process, by force after the grace, which is rounded up to whole seconds.

        Raises:
            RuntimeFailed: the process could not be ended.
        """
        self._folders.remove_left(container_id)
        with self._engine.client() as client:
            found = self._found(client, container_id)
            if not found or status(found["State"]["Status"]) is not Status.RUNNING:
                return
            try:
                client.stop(found["Id"], timeout=math.ceil(grace.total_seconds()))
            except NotFound:
                return
            except APIError as error:
                raise _rejected(words(error)) from error

    def remove(self, container_id: UUID) -> None:
        """Remove the container and the volume of its secret, running or not.

        Raises:
            RuntimeFailed: something is left.
        """
        with self._engine.client() as client:
            if found := self._found(client, container_id):
                _remove(client, found["Id"])
        self._folders.remove_left(container_id)

    def watch(self, ended: Event) -> Iterator[UUID]:
        """The containers whose process ended or that were removed, as it happens, until `ended` is set."""
        return ends(self._engine, self._labels, ended)

    def ping(self) -> str:
        """The engine's version.

        Raises:
            Unavailable: it does not answer, or containers would reach the services of its host.
        """
        with self._engine.client() as client:
            version = client.version()
            try:
                self._guard.ensure(client)
            except RuntimeFailed as error:
                raise Unavailable(part=f"target {self._target.name}", reason=error.detail) from error
        return f"Docker Engine {version['Version']} (API {version['ApiVersion']})"

    def has_image(self, reference: str) -> bool:
        """Whether the engine has an image."""
        with self._engine.client() as client:
            try:
                client.inspect_image(reference)  # type: ignore[no-untyped-call]  # the stubs leave it out
            except ImageNotFound:
                return False
        return True

    def close(self) -> None:
        """Give back all connections."""
        self._engine.close()

    def _start(self, order: Order, folders: Folders) -> Observation:
        with self._engine.client() as client:
            try:
                made = self._create(client, order)
            except ImageNotFound as error:
                detail = f"{words(error)}; images are not pulled at a start, so it must be brought to the target before"
                raise RuntimeFailed(reason=FailureReason.IMAGE_MISSING, detail=detail) from error
            except APIError as error:
                if error.status_code != CONFLICT:
                    raise _rejected(words(error)) from error
                found = self._adopted(client, order)
                made = found["Id"]
                if status(found["State"]["Status"]) is not Status.CREATED:
                    self._check_mounted(client, folders, found)
                    return self._observation(found, order.request.container_id)
            self._launch(client, order, made)
            found = client.inspect_container(made)
            self._check_mounted(client, folders, found)
            return self._observation(found, order.request.container_id)

    def _create(self, client: APIClient, order: Order) -> str:
        processors = self._engine.processors(client) if order.request.resources.millicores else 0
        self._guard.ensure(client)
        network = ensure_network(client, self._labels, egress=self._target.egress)
        host_config = client.create_host_config(**host_settings(order, self._limits, processors, network))
        made = client.create_container(**settings(order, self._labels), host_config=host_config)
        return str(made["Id"])

    def _adopted(self, client: APIClient, order: Order) -> Mapping[str, Any]:
        """What has the name already, if it is ours."""
        found = self._found(client, order.request.container_id)
        if found is not None:
            return found
        try:
            stranger = client.inspect_container(order.name)
        except NotFound as error:
            raise self._in_motion(order) from error
        if self._labels.owned(stranger["Config"]["Labels"] or {}) == order.request.container_id:
            raise self._in_motion(order)
        raise _rejected(f"the name {order.name} is taken by a container that is not of this target")

    def _in_motion(self, order: Order) -> _InMotion:
        return _InMotion(part=f"target {self._target.name}", reason=f"{order.name} came or went while it was started")

    def _launch(self, client: APIClient, order: Order, made: str) -> None:
        request = order.request
        try:
            found = client.inspect_container(made)
            is_open = self._engine.opens_volumes(client)
            if has_secret(request.image):
                put_files(client, found, SECRET_FOLDER, secret_files(order.secret, request.identity), is_open=is_open)
            names = names_for(request, **self._image_names.of(client, found))
            put_files(client, found, NAMES_FOLDER, names_files(names), is_open=is_open)
            client.start(made)
        except APIError as error:
            if isinstance(error, NotFound) and any(thing in words(error) for thing in _CAN_VANISH):
                raise self._in_motion(order) from error
            _remove(client, made)
            raise _rejected(words(error)) from error

    def _check_mounted(self, client: APIClient, folders: Folders, found: Mapping[str, Any]) -> None:
        try:
            folders.check_mounted(found)
        except RuntimeFailed:
            _remove(client, found["Id"])
            raise

    def _found(self, client: APIClient, container_id: UUID) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = client.inspect_container(container_name(container_id))
        except NotFound:
            return None
        return found if self._labels.owned(found["Config"]["Labels"] or {}) == container_id else None

    def _ended(self, client: APIClient, runtime_id: str, container_id: UUID) -> Observation | None:
        try:
            return self._observation(client.inspect_container(runtime_id), container_id)
        except NotFound:
            return None

    def _observation(self, found: Mapping[str, Any], container_id: UUID) -> Observation:
        return inspected(found, container_id, self._target.public_host)


def _rejected(detail: str) -> RuntimeFailed:
    return RuntimeFailed(reason=FailureReason.REJECTED, detail=detail)


def _remove(client: APIClient, runtime_id: str) -> None:
    try:
        remove_container(client, runtime_id)
    except APIError as error:
        raise _rejected(words(error)) from error
