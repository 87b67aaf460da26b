"""The objects of one namespace of a cluster, as the interface's own JSON."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from calipso.errors import Unavailable
from calipso.runtimes.kubernetes.folders import Manifest

_CONFLICT, _NOT_FOUND = 409, 404


class Namespace:
    """The objects of one namespace, as the interface's own JSON."""

    def __init__(self, api: client.ApiClient, namespace: str, timeout: float) -> None:
        self._namespace = namespace
        self._timeout = timeout
        self._core, self._networking = client.CoreV1Api(api), client.NetworkingV1Api(api)
        self._version = client.VersionApi(api)

    def read(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """The object of a name, None when there is none."""
        try:
            found: Mapping[str, Any] = self._call("read", kind, name)
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return None
            raise
        return found

    def list(self, kind: str, selector: str, **options: Any) -> Sequence[Mapping[str, Any]]:  # noqa: ANN401 - the interface's own
        """All objects with these labels."""
        items: Sequence[Mapping[str, Any]] = self._call("list", kind, label_selector=selector, **options)["items"]
        return items

    def warnings(self, uid: str) -> Sequence[str]:
        """What the cluster says against an object, oldest first."""
        answer: Any = self._core.list_namespaced_event(
            self._namespace,
            field_selector=f"involvedObject.uid={uid},type=Warning",
            _request_timeout=self._timeout,
            _preload_content=False,
        )
        events = json.loads(answer.data)["items"]
        events.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
        return [f"{event.get('reason')}: {event.get('message')}" for event in events]

    def version(self) -> str:
        """The cluster's version."""
        answer: Any = self._version.get_code(_request_timeout=self._timeout, _preload_content=False)
        return str(json.loads(answer.data)["gitVersion"])

    def ensure(
        self, kind: str, manifest: Manifest, check: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        """Make an object, or take the one that has its name already, if it passes the check."""
        try:
            made: Mapping[str, Any] = self._call("create", kind, manifest)
        except ApiException as error:
            if error.status != _CONFLICT:
                raise
        else:
            return made
        found = self.read(kind, manifest["metadata"]["name"])
        if found is None:
            raise Unavailable("the cluster", f"{manifest['metadata']['name']} came and went while it was made")
        return check(found)

    def patch(self, kind: str, name: str, changes: Manifest) -> None:
        """Change an object."""
        self._call("patch", kind, name, changes)

    def let_go(self, kind: str, name: str, finalizer: str) -> None:
        """Hold an object no longer by a finalizer; nothing happens when it is not there any more."""
        try:
            self.patch(kind, name, {"metadata": {"$deleteFromPrimitiveList/finalizers": [finalizer]}})
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise

    def delete(self, kind: str, name: str, uid: str, *, seconds: int = 0) -> None:
        """Delete this very object, a pod after a grace; nothing happens when it is not there any more."""
        options = {"gracePeriodSeconds": seconds, "propagationPolicy": "Background", "preconditions": {"uid": uid}}
        try:
            self._call("delete", kind, name, body=options)
        except ApiException as error:
            if error.status not in {_NOT_FOUND, _CONFLICT}:
                raise

    def _call(self, verb: str, kind: str, *given: Any, **options: Any) -> Any:  # noqa: ANN401 - the interface's own
        group = self._networking if kind == "network_policy" else self._core
        method = getattr(group, f"{verb}_namespaced_{kind}")
        # a name comes before the namespace, a body behind it
        name = [value for value in given if isinstance(value, str)]
        body = [value for value in given if not isinstance(value, str)]
        # the library's models refuse answers of servers that are older than they are
        answer = method(
            *name, self._namespace, *body, _request_timeout=self._timeout, _preload_content=False, **options
        )
        return json.loads(answer.data)
