"""What the double holds: objects with versions, what has changed of them, and who listens."""

import asyncio
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.runtimes.kubernetes_double.resources import NAMESPACES, Resource
from tests.runtimes.kubernetes_double.status import Json, already_exists, expired, not_found


@dataclass(frozen=True, kw_only=True)
class Change:
    """One write: `before` is None for a new object, `after` carries the version of the write even of what went."""

    version: int
    resource: Resource
    is_end: bool
    before: Json | None
    after: Json


Listener = Callable[[Change], None]


class Clock:
    """The cluster's, which may go wrong."""

    ahead = timedelta()


def now() -> str:
    return (datetime.now(UTC) + Clock.ahead).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """Objects by resource, namespace and name. Everything happens in the server's loop, so nothing is locked.

    What is given out belongs to the store: only `changed` copies may be written.
    """

    def __init__(self) -> None:
        self.version = 1
        self._oldest = 1
        self._objects: dict[tuple[Resource, str, str], Json] = {}
        self._changes: list[Change] = []
        self._listeners: list[Listener] = []

    def get(self, of: Resource, namespace: str, name: str) -> Json:
        found = self.find(of, namespace, name)
        if found is None:
            raise not_found(of.plural, name)
        return found

    def find(self, of: Resource, namespace: str, name: str) -> Json | None:
        return self._objects.get((of, namespace, name))

    def items(self, of: Resource, namespace: str) -> list[Json]:
        """The objects of a kind in one namespace, by name."""
        keys = sorted(key[2] for key in self._objects if key[:2] == (of, namespace))
        return [self._objects[of, namespace, name] for name in keys]

    def everything(self) -> Iterator[tuple[Resource, Json]]:
        """All objects of all namespaces."""
        yield from ((key[0], found) for key, found in list(self._objects.items()))

    def create(self, of: Resource, namespace: str, given: Json) -> Json:
        name = given["metadata"]["name"]
        if self.find(of, namespace, name) is not None:
            raise already_exists(of.plural, name)
        made = deepcopy(given)
        made["metadata"] |= {"uid": str(uuid4()), "creationTimestamp": now()}
        if of is not NAMESPACES:
            made["metadata"]["namespace"] = namespace
        return self._written(of, namespace, None, made)

    def replace(self, of: Resource, namespace: str, changed: Json) -> Json:
        """Write a changed copy of an object; nothing happens when nothing is different."""
        before = self.get(of, namespace, changed["metadata"]["name"])
        if changed == before:
            return before
        return self._written(of, namespace, before, deepcopy(changed))

    def settle(self, of: Resource, namespace: str, changed: Json) -> Json:
        """Write a changed copy of an object, or remove it if it was only held until now."""
        written = self.replace(of, namespace, changed)
        metadata = written["metadata"]
        is_over = "deletionTimestamp" in metadata and not metadata["deletionGracePeriodSeconds"]
        if is_over and not metadata.get("finalizers"):
            return self.remove(of, namespace, metadata["name"])
        return written

    def remove(self, of: Resource, namespace: str, name: str) -> Json:
        before = self.get(of, namespace, name)
        del self._objects[of, namespace, name]
        return self._told(of, before, deepcopy(before), is_end=True)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell somebody of every change, in order; gives back how to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def since(self, version: int) -> list[Change]:
        """What has changed after a version.

        Raises:
            RefusedError: nobody remembers that any more.
        """
        if version < self._oldest:
            raise expired(version, self._oldest)
        return [change for change in self._changes if change.version > version]

    def forget(self) -> None:
        """Forget what has changed until now, as servers do after some minutes."""
        # the version that is newest now may still be asked for
        self._oldest = self.version
        self._changes.clear()

    def _written(self, of: Resource, namespace: str, before: Json | None, after: Json) -> Json:
        self._objects[of, namespace, after["metadata"]["name"]] = after
        return self._told(of, before, after, is_end=False)

    def _told(self, of: Resource, before: Json | None, after: Json, *, is_end: bool) -> Json:
        self.version += 1
        after["metadata"]["resourceVersion"] = str(self.version)
        change = Change(version=self.version, resource=of, is_end=is_end, before=before, after=after)
        self._changes.append(change)
        for listener in list(self._listeners):
            # later, so that nobody writes while another is still being told
            asyncio.get_running_loop().call_soon(listener, change)
        return after


def going(found: Json, seconds: int) -> Json:
    """A copy of an object that is deleted, and has so long to end."""
    changed = deepcopy(found)
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    told = {"deletionTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ"), "deletionGracePeriodSeconds": seconds}
    if seconds < found["metadata"].get("deletionGracePeriodSeconds", seconds + 1):
        changed["metadata"] |= told
    return changed
