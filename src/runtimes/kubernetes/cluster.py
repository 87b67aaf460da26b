"""Speaks to one cluster: connects when it is first asked, and tells trouble in Calipso's words."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import urllib3.exceptions
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from calipso.errors import Unavailable

IN_CLUSTER = "in-cluster"
_CONNECTIONS = 64
_SERVER_ERROR = 500
_UNAUTHORIZED = 401
_REFUSED = frozenset({_UNAUTHORIZED, 429})


class Connection:
    """The interface of one cluster; safe to use from several threads.

    Args:
        target: the name of the target, for errors.
        kubeconfig: path of a kubeconfig file, or `in-cluster` for the account of the pod in which this process runs.
        timeout: seconds until a cluster that does not answer counts as away.
    """

    def __init__(self, target: str, kubeconfig: str, timeout: float) -> None:
        self._target = target
        self._kubeconfig = kubeconfig
        self.timeout = timeout
        self._lock = Lock()
        self._made: client.ApiClient | None = None

    @contextmanager
    def api(self) -> Iterator[client.ApiClient]:
        """The cluster's interface.

        Raises:
            Unavailable: the cluster could not be reached, or said an error that the caller did not deal with.
        """
        try:
            yield self._connected()
        except ApiException as error:
            if error.status == _UNAUTHORIZED:
                # whoever renews the credentials writes them where they were read
                self.close()
            raise self._unavailable(words(error)) from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError, config.ConfigException) as error:
            self.close()
            raise self._unavailable(str(error)[:1000] or type(error).__name__) from error

    def close(self) -> None:
        """Give back all connections; the next use makes new ones, and reads credentials anew."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()  # type: ignore[no-untyped-call]  # the library has no types here

    def _connected(self) -> client.ApiClient:
        with self._lock:
            if self._made is None:
                self._made = self._connect()
            return self._made

    def _connect(self) -> client.ApiClient:
        configuration = client.Configuration()
        if self._kubeconfig == IN_CLUSTER:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # the library has no types here
        else:
            config.load_kube_config(  # type: ignore[no-untyped-call]  # the library has no types here
                config_file=self._kubeconfig, client_configuration=configuration
            )
        configuration.retries = False
        configuration.connection_pool_maxsize = _CONNECTIONS
        return client.ApiClient(configuration)

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(part=f"target {self._target}", reason=reason)


def words(error: ApiException) -> str:
    """What the cluster itself said of an error."""
    try:
        told: Any = json.loads(error.body or "")
        return str(told["message"])[:1000]
    except (ValueError, TypeError, KeyError):
        return f"{error.status} {error.reason}"


def is_refusal(error: ApiException) -> bool:
    """Whether the cluster decided against what was asked, rather than being in trouble itself."""
    return error.status is not None and error.status < _SERVER_ERROR and error.status not in _REFUSED
