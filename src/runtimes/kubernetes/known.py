"""Which folders of a cluster are known to be there, because a container saw them: nobody need look for them again."""

from collections.abc import Set as AbstractSet
from threading import Lock
from uuid import UUID

from calipso.events.container import ContainerRequested
from calipso.runtimes.protocol import Observation, Status


class KnownFolders:
    """The folders of one cluster, as far as this process has seen them used; safe to use from several threads.

    To look before a pod's process begins costs a second. A folder that is removed while it is known here would be made
    anew by the kubelet, for root.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: set[str] = set()
        self._asked: dict[UUID, frozenset[str]] = {}

    def ask(self, request: ContainerRequested) -> AbstractSet[str]:
        """Those that are known, for a container that will use some."""
        with self._lock:
            self._asked[request.container_id] = frozenset(volume.source for volume in request.volumes)
            return frozenset(self._known)

    def hear(self, seen: Observation) -> None:
        """Learn from what became of a container."""
        with self._lock:
            if seen.failure is not None:
                self._known -= self._asked.pop(seen.container_id, frozenset())
            elif seen.status is Status.RUNNING:
                self._known |= self._asked.pop(seen.container_id, frozenset())

    def forget(self, container_id: UUID) -> None:
        """Expect nothing more of a container."""
        with self._lock:
            self._asked.pop(container_id, None)
