"""Speaks to one Docker Engine: connects when it is first asked, and tells trouble in Calipso's words."""

import contextlib
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from threading import Lock
from typing import Any

import requests
import urllib3.exceptions
from docker import APIClient
from docker.constants import DEFAULT_DOCKER_API_VERSION, MINIMUM_DOCKER_API_VERSION
from docker.errors import APIError, DockerException, NotFound
from docker.tls import TLSConfig
from docker.utils import version_lt
from requests.adapters import HTTPAdapter

from calipso.errors import Unavailable
from calipso.runtimes.protocol import Target

_TROUBLE = (OSError, DockerException, urllib3.exceptions.HTTPError, json.JSONDecodeError, tarfile.TarError)
_CONNECTIONS = 64
CONFLICT = 409
_OTHER_NUMBERS = ("name=userns", "name=rootless")


class Engine:
    """The engine of one target; safe to use from several threads.

    Args:
        target: its address and certificates.
        timeout: seconds until an engine that does not answer counts as away.
    """

    def __init__(self, target: Target, timeout: int) -> None:
        self._target = target
        self._timeout = timeout
        self._lock = Lock()
        self._shared: APIClient | None = None
        self._info: Mapping[str, Any] = {}

    @property
    def is_local(self) -> bool:
        """Whether the engine's folders are this host's folders."""
        return not self._target.address or self._target.address.startswith("unix:")

    @contextmanager
    def client(self) -> Iterator[APIClient]:
        """A client that speaks the engine's version of its interface.

        Raises:
            Unavailable: the engine could not be reached, or it said an error that the caller did not deal with.
        """
        try:
            yield self._connected()
        except APIError as error:
            raise self._unavailable(words(error)) from error
        except (
            OSError,
            DockerException,
            urllib3.exceptions.HTTPError,
            json.JSONDecodeError,
            tarfile.TarError,
        ) as error:
            # another version of the engine may answer next time
            self.close()
            raise self._unavailable(_root_cause(error)) from error

    def processors(self, client: APIClient) -> int:
        """The number of processors that the engine has."""
        return int(self._told(client)["NCPU"])

    def opens_volumes(self, client: APIClient) -> bool:
        """Whether we may write where the engine keeps its volumes, for accounts that have the same numbers here."""
        if not self.is_local or os.geteuid() != 0:
            return False
        return not any(option in _OTHER_NUMBERS for option in self._told(client)["SecurityOptions"] or ())

    def stream(self, path: str, params: Mapping[str, str], patience: float) -> Iterator[Any]:
        """The objects of one of the engine's streams, until nothing has come for `patience` seconds.

        Raises:
            Unavailable: the engine could not be reached, or ended the stream.
        """
        with self.client() as client:
            url = f"{client.base_url}/v{client.api_version}{path}"
            with client.get(url, params=params, stream=True, timeout=(self._timeout, patience)) as response:
                response.raise_for_status()
                try:
                    yield from map(json.loads, filter(None, response.iter_lines()))
                except requests.ConnectionError as error:
                    if isinstance(error.args[0], urllib3.exceptions.ReadTimeoutError):
                        return
                    raise
            raise DockerException("the engine ended the stream")

    def close(self) -> None:
        """Give back all connections; the next use makes new ones."""
        with self._lock:
            client, self._shared = self._shared, None
            self._info = {}
        if client is not None:
            client.close()

    def _told(self, client: APIClient) -> Mapping[str, Any]:
        """What the engine says of itself, and does not change while it runs."""
        if not (told := self._info):
            self._info = told = client.info()
        return told

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(part=f"target {self._target.name}", reason=reason)

    def _connected(self) -> APIClient:
        if (client := self._shared) is not None:
            return client
        made = self._connect()
        with self._lock:
            if self._shared is None:
                self._shared = made
            client = self._shared
        if client is not made:
            made.close()
        return client

    def _connect(self) -> APIClient:
        with closing(self._make_client(MINIMUM_DOCKER_API_VERSION)) as first:
            spoken: str | None = first.version(api_version=False).get("ApiVersion")
        if spoken is None:
            raise DockerException("what answers there is not a Docker Engine")
        known = DEFAULT_DOCKER_API_VERSION
        return self._make_client(known if version_lt(known, spoken) else spoken)

    def _make_client(self, version: str) -> APIClient:
        client = APIClient(
            base_url=self._target.address or None,
            version=version,
            timeout=self._timeout,
            tls=self._tls() or False,
            max_pool_size=_CONNECTIONS,
        )
        # REQUESTS_CA_BUNDLE would otherwise win over the engine's own authority, and proxies be used
        client.trust_env = False
        if not self.is_local:
            client.mount(client.base_url, HTTPAdapter(pool_maxsize=_CONNECTIONS))
        return client

    def _tls(self) -> TLSConfig | None:
        target = self._target
        if not (target.tls_ca or target.tls_cert or target.tls_key):
            return None
        pair = (_path(target.tls_cert), _path(target.tls_key)) if target.tls_cert or target.tls_key else None
        return TLSConfig(client_cert=pair, ca_cert=_path(target.tls_ca) or None, verify=True)


def remove_container(client: APIClient, runtime_id: str) -> None:
    """Remove a container and its nameless volumes, running or not; whoever else is at it is waited for.

    Raises:
        APIError: the engine refused.
    """
    with contextlib.suppress(NotFound):
        try:
            client.remove_container(runtime_id, v=True, force=True)
        except APIError as error:
            if error.status_code != CONFLICT:
                raise
            client.wait(runtime_id, condition="removed")


def words(error: APIError) -> str:
    """What the engine itself said of an error."""
    return str(error.explanation or error)[:1000]


def _path(path: object) -> str:
    return str(path or "")


def _root_cause(error: BaseException) -> str:
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return str(error) or type(error).__name__
