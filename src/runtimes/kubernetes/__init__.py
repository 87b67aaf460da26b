"""Makes containers as pods of a Kubernetes cluster; the files beside it hold what the cluster is told and answers."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from threading import Event
from typing import Any
from uuid import UUID

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from calipso.events.naming import container_name
from calipso.events.values import FailureReason
from calipso.runtimes.kubernetes import objects
from calipso.runtimes.kubernetes.answer import is_going, is_held_up, observed, with_warning
from calipso.runtimes.kubernetes.cluster import Connection, is_refusal, words
from calipso.runtimes.kubernetes.known import KnownFolders
from calipso.runtimes.kubernetes.namespace import Namespace
from calipso.runtimes.kubernetes.objects import Cluster, Labels
from calipso.runtimes.kubernetes.watch import ends
from calipso.runtimes.protocol import Observation, Order, RuntimeFailed, Status, Target

_NOT_FOUND, _BAD_REQUEST = 404, 400
_POLL_SECONDS, _LONGEST_POLL_SECONDS, _GROWTH = 0.1, 0.5, 1.2
_END_SECONDS = 30.0  # some kubelets tell late of an end
_LOG_LINE_LENGTH = 1000
_HOLD = "calipso.eu/stopped"  # the finalizer of a stopped pod
_LOG_IS_GONE = "unable to retrieve container logs for "


class KubernetesRuntime:
    """Makes pods in one namespace of one cluster; nothing connects before it is used.

    Everything of one container has its name: the pod, its secret, its service and its network policy. The pod owns the
    others, so that they go with it.

    Args:
        target: how its containers are reached; `address` is a kubeconfig file, or `in-cluster`.
        grace: how long a process may take to end when it is asked to.
        installation: the id of this installation; what does not carry it as a label is never touched.
        facility: the short id of the facility, as a label.
        roots: folders below which the missing folders of volumes are made, and out of which no link may lead.
        timeout: seconds until a cluster that does not answer counts as away.
    """

    keeps_containers = True

    def __init__(
        self,
        target: Target,
        *,
        grace: timedelta,
        installation: str,
        facility: str,
        roots: tuple[str, ...] = (),
        timeout: float = 20,
    ) -> None:
        self._target = target
        self._cluster = Cluster(
            namespace=target.namespace,
            service=target.service,
            networks=target.networks,
            volumes=target.volumes,
            roots=roots,
            folder_image=target.folder_image,
            pull_policy=target.pull_policy,
            pull_secrets=target.pull_secrets,
            grace=math.ceil(grace.total_seconds()),
            egress=target.egress,
        )
        self._connection = Connection(target.name, target.address, timeout)
        self._labels = Labels(installation=installation, facility=facility, target=target.name)
        self._folders = KnownFolders()

    def start(self, order: Order) -> Observation:
        """Make the pod and what belongs to it; what is already there under its name and labels is adopted.

        Raises:
            RuntimeFailed: the cluster refused; nothing is left behind.
            Unavailable: the cluster did not answer; something may be left behind.
        """
        with self._connection.api() as api:
            made = Namespace(api, self._cluster.namespace, self._connection.timeout)
            try:
                return self._start(made, order)
            except ApiException as error:
                if not is_refusal(error):
                    raise
                self._undo(made, order.request.container_id)
                raise RuntimeFailed(reason=FailureReason.REJECTED, detail=words(error)) from error

    def observe(self, container_id: UUID) -> Observation | None:
        """Say what the cluster has of one container; None when there is nothing."""
        with self._connection.api() as api:
            made = Namespace(api, self._cluster.namespace, self._connection.timeout)
            pod = self._own(made.read("pod", container_name(container_id)), container_id)
            if pod is None:
                return None
            service = self._own(made.read("service", container_name(container_id)), container_id)
            seen = self._observation(pod, service, container_id)
            self._folders.hear(seen)
            # only the cluster's events tell why a pod that has a node does not begin
            return with_warning(seen, pod, made.warnings(seen.runtime_id)) if is_held_up(seen) else seen

    def list(self) -> Mapping[UUID, Observation]:
        """Say what the cluster has of every container of this installation and target."""
        with self._connection.api() as api:
            made = Namespace(api, self._cluster.namespace, self._connection.timeout)
            pods = made.list("pod", self._labels.selector())
            services = {s["metadata"]["name"]: s for s in made.list("service", self._labels.selector())}
        found = [(self._labels.owned(pod["metadata"].get("labels")), pod) for pod in pods]
        return {
            container_id: self._observation(pod, services.get(pod["metadata"]["name"]), container_id)
            for container_id, pod in found
            if container_id is not None
        }

    def logs(self, container_id: UUID, *, lines: int) -> tuple[str, ...]:
        """The last lines of the container's log, none when it is not there any more or has not begun."""
        if self.observe(container_id) is None:
            return ()
        with self._connection.api() as api:
            try:
                text: str = client.CoreV1Api(api).read_namespaced_pod_log(
                    container_name(container_id),
                    self._cluster.namespace,
                    tail_lines=lines,
                    _request_timeout=self._connection.timeout,
                )
            except ApiException as error:
                if error.status in {_NOT_FOUND, _BAD_REQUEST}:
                    return ()
                raise
        if text.startswith(_LOG_IS_GONE):
            return ()
        return tuple(line[:_LOG_LINE_LENGTH] for line in text.splitlines()[-lines:])

    def stop(self, container_id: UUID, *, grace: timedelta) -> None:
        """End the container's process, by force after the grace.

        Raises:
            RuntimeFailed: the process could not be ended.
        """
        found = self.observe(container_id)
        if found is None or found.status is Status.EXITED:
            return
        with self._connection.api() as api:
            made = Namespace(api, self._cluster.namespace, self._connection.timeout)
            try:
                self._end(made, found, grace.total_seconds())
            except ApiException as error:
                if not is_refusal(error):
                    raise
                raise RuntimeFailed(reason=FailureReason.REJECTED, detail=words(error)) from error

    def remove(self, container_id: UUID) -> None:
        """Remove the pod and what belongs to it, running or not.

        Raises:
            RuntimeFailed: something is left.
        """
        with self._connection.api() as api:
            made = Namespace(api, self._cluster.namespace, self._connection.timeout)
            self._folders.forget(container_id)
            try:
                self._remove_all(made, container_id)
            except ApiException as error:
                if not is_refusal(error):
                    raise
                raise RuntimeFailed(reason=FailureReason.REJECTED, detail=words(error)) from error

    def watch(self, ended: Event) -> Iterator[UUID]:
        """The containers whose process ended or that were removed, as it happens, until `ended` is set."""
        return ends(self._connection, self._cluster.namespace, self._labels, ended)

    def ping(self) -> str:
        """The cluster's version, and that the namespace may be looked at."""
        with self._connection.api() as api:
            made = Namespace(api, self._cluster.namespace, self._connection.timeout)
            made.list("pod", self._labels.selector(), limit=1)
            version = made.version()
        return f"Kubernetes {version}, namespace {self._cluster.namespace}"

    def close(self) -> None:
        """Give back all connections."""
        self._connection.close()

    def _start(self, made: Namespace, order: Order) -> Observation:
        container_id = order.request.container_id
        owned = self._own_or_refuse(made, container_id)
        policy = made.ensure("network_policy", objects.network_policy(order, self._labels, self._cluster), owned)
        secret = made.ensure("secret", objects.secret(order, self._labels), owned)
        known = self._folders.ask(order.request)
        pod = made.ensure("pod", objects.pod(order, self._labels, self._cluster, known), owned)
        owner = objects.owned_by(order.name, pod["metadata"]["uid"])
        service = made.ensure("service", objects.service(order, self._labels, self._cluster, owner), owned)
        for kind, thing in (("network_policy", policy), ("secret", secret)):
            if not thing["metadata"].get("ownerReferences"):
                made.patch(kind, order.name, {"metadata": {"ownerReferences": [owner]}})
        return self._observation(pod, service, container_id)

    def _own_or_refuse(self, made: Namespace, container_id: UUID) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
        """Gives back what is ours of the things that have the container's name already."""

        def check(found: Mapping[str, Any]) -> Mapping[str, Any]:
            if self._own(found, container_id) is None:
                name, kind = found["metadata"]["name"], found.get("kind") or "object"
                detail = f"the name {name} is taken by a {kind} that is not of this target"
                self._remove_all(made, container_id)
                raise RuntimeFailed(reason=FailureReason.REJECTED, detail=detail)
            return found

        return check

    def _own(self, found: Mapping[str, Any] | None, container_id: UUID) -> Mapping[str, Any] | None:
        is_own = found is not None and self._labels.owned(found["metadata"].get("labels")) == container_id
        return found if is_own else None

    def _undo(self, made: Namespace, container_id: UUID) -> None:
        """Remove what a refused start has made; where not even that is allowed, nothing was made."""
        try:
            self._remove_all(made, container_id)
        except ApiException as error:
            if not is_refusal(error):
                raise

    def _remove_all(self, made: Namespace, container_id: UUID) -> None:
        name = container_name(container_id)
        for kind in ("service", "pod", "secret", "network_policy"):
            found = self._own(made.read(kind, name), container_id)
            if found is not None:
                if _HOLD in (found["metadata"].get("finalizers") or ()):
                    made.let_go(kind, name, _HOLD)
                made.delete(kind, name, found["metadata"]["uid"])

    def _observation(
        self, pod: Mapping[str, Any], service: Mapping[str, Any] | None, container_id: UUID
    ) -> Observation:
        host, port = self._target.public_host, 0
        if service is not None:
            entry = service["spec"]["ports"][0]
            is_inside = self._cluster.service == "ClusterIP"
            host = service["spec"]["clusterIP"] if is_inside else host
            port = entry["port"] if is_inside else entry.get("nodePort") or 0
        return observed(pod, container_id, host=host, port=port)

    def _end(self, made: Namespace, found: Observation, grace: float) -> None:
        """Delete the pod, which ends its process, and hold it: so it stays to be looked at."""
        pod = made.read("pod", found.name)
        # what no kubelet has goes at once, and what is going cannot be held any more
        if pod is not None and pod["spec"].get("nodeName") and not is_going(pod):
            made.patch("pod", found.name, {"metadata": {"finalizers": [_HOLD]}})
        # no grace at all would mean not to wait for the node
        made.delete("pod", found.name, found.runtime_id, seconds=max(1, math.ceil(grace)))
        if not self._has_ended(made, found, grace + _END_SECONDS):
            detail = f"not ended by its node in {_END_SECONDS:.0f} s after the grace"
            raise RuntimeFailed(reason=FailureReason.REJECTED, detail=detail)

    def _has_ended(self, made: Namespace, before: Observation, seconds: float) -> bool:
        """Wait until the process has ended; whether that came to be in time."""
        give_up, pause = time.monotonic() + seconds, _POLL_SECONDS
        while (pod := self._own(made.read("pod", before.name), before.container_id)) is not None:
            if observed(pod, before.container_id, host="", port=0).status is Status.EXITED:
                return True
            if time.monotonic() > give_up:
                return False
            time.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_POLL_SECONDS)
        return True
