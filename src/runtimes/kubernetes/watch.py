"""Hears from a cluster which pods ended, through every interruption."""

import json
from collections.abc import Iterator
from threading import Event
from typing import Any
from uuid import UUID

import urllib3.exceptions
from kubernetes import client
from kubernetes import watch as library
from kubernetes.client.exceptions import ApiException
from tenacity import Retrying, retry_if_exception_type, sleep_using_event, stop_when_event_set, wait_random_exponential

from calipso.errors import Unavailable
from calipso.runtimes.kubernetes.answer import has_ended
from calipso.runtimes.kubernetes.cluster import Connection
from calipso.runtimes.kubernetes.objects import Labels

_GONE = 410
# the listener must notice within two seconds that it is to end; so short a stream also survives a silent network
_PATIENCE = 1.5
_LONGEST_BACK_OFF = 10


class _ForgottenError(Exception):
    """The cluster does not know any more what changed after a version."""


def ends(connection: Connection, namespace: str, labels: Labels, ended: Event) -> Iterator[UUID]:
    """The containers whose process ended or that were removed, until `ended` is set.

    Args:
        connection: who tells.
        namespace: where the pods are.
        labels: of the pods that are listened for.
        ended: set when nobody listens any more.
    """
    version = ""
    while not ended.is_set():
        for attempt in Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(multiplier=0.2, max=_LONGEST_BACK_OFF),
            stop=stop_when_event_set(ended),
            sleep=sleep_using_event(ended),
            retry_error_callback=lambda _: None,
        ):
            with attempt:
                version = version or _version_of(connection, namespace, labels)
                try:
                    for event in _events(connection, namespace, labels, version):
                        version = event["raw_object"]["metadata"]["resourceVersion"]
                        if (container_id := _ended(event, labels)) is not None:
                            yield container_id
                        if ended.is_set():
                            return
                except _ForgottenError:
                    # what was missed is found by the reconciler's next look
                    version = ""


def _ended(event: Any, labels: Labels) -> UUID | None:  # noqa: ANN401 - the library's own
    pod = event["raw_object"]
    if event["type"] not in {"MODIFIED", "DELETED"} or not (event["type"] == "DELETED" or has_ended(pod)):
        return None
    return labels.owned(pod["metadata"].get("labels"))


def _version_of(connection: Connection, namespace: str, labels: Labels) -> str:
    with connection.api() as api:
        answer: Any = client.CoreV1Api(api).list_namespaced_pod(
            namespace,
            label_selector=labels.selector(),
            limit=1,
            _request_timeout=connection.timeout,
            _preload_content=False,
        )
    return str(json.loads(answer.data)["metadata"]["resourceVersion"])


def _events(connection: Connection, namespace: str, labels: Labels, version: str) -> Iterator[Any]:
    """What changed after a version, until nothing has come for a while.

    Raises:
        _ForgottenError: that is too long ago.
        Unavailable: the cluster did not answer.
    """
    with connection.api() as api:
        try:
            yield from library.Watch().stream(  # type: ignore[no-untyped-call]  # the library has no types here
                client.CoreV1Api(api).list_namespaced_pod,
                namespace,
                label_selector=labels.selector(),
                resource_version=version,
                allow_watch_bookmarks=True,
                _request_timeout=(connection.timeout, _PATIENCE),
            )
        except urllib3.exceptions.ReadTimeoutError:
            return
        except ApiException as error:
            if error.status == _GONE:
                raise _ForgottenError from error
            raise
        except urllib3.exceptions.ProtocolError as error:
            raise Unavailable("the watch", str(error)) from error
