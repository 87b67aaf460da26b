"""Streams of changes, that can be made to end, to break or to fall silent."""

import asyncio
import json

from aiohttp import web
from tests.runtimes.kubernetes_double.resources import Match, Resource
from tests.runtimes.kubernetes_double.status import Json, RefusedError
from tests.runtimes.kubernetes_double.store import Change, Store
from tests.runtimes.kubernetes_double.trouble import break_connection


class Watch:
    """One stream: the changes of some objects of one namespace."""

    def __init__(self, request: web.Request, of: Resource, namespace: str, matches: Match) -> None:
        self.request = request
        self.has_bookmarks = request.query.get("allowWatchBookmarks", "").lower() in {"1", "true"}
        self.is_silent = False
        self._of, self._namespace, self._matches = of, namespace, matches
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    def hear(self, change: Change) -> None:
        """Put a change into the stream, as it looks to somebody who sees the matching objects only."""
        is_here = change.after["metadata"].get("namespace", "") == self._namespace
        if change.resource is not self._of or not is_here:
            return
        was = change.before is not None and self._matches(change.before)
        is_now = not change.is_end and self._matches(change.after)
        if was or is_now:
            self.put("DELETED" if not is_now else "MODIFIED" if was else "ADDED", change.after)

    def put(self, kind: str, thing: Json) -> None:
        self._lines.put_nowait(json.dumps({"type": kind, "object": thing}).encode() + b"\n")

    def bookmark(self, version: int) -> None:
        """Tell which version has been reached."""
        thing = {"kind": self._of.kind, "apiVersion": self._of.api_version}
        self.put("BOOKMARK", {**thing, "metadata": {"resourceVersion": str(version), "creationTimestamp": None}})

    def end(self) -> None:
        self._lines.put_nowait(None)

    async def write(self, response: web.StreamResponse) -> None:
        """Write the stream until it ends."""
        while (line := await self._lines.get()) is not None or self.is_silent:
            if not self.is_silent:
                assert line is not None
                await response.write(line)


class Watches:
    """The streams that are open now."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: set[Watch] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def serve(self, request: web.Request, of: Resource, namespace: str, matches: Match) -> web.StreamResponse:
        """Answer a request with a stream."""
        watch = Watch(request, of, namespace, matches)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self._begin(watch, of, namespace, matches)
        stop = self._store.listen(watch.hear)
        self._open.add(watch)
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds", 3600))):
                await watch.write(response)
        except TimeoutError:
            pass
        finally:
            self._open.discard(watch)
            stop()
        return response

    def bookmark(self) -> None:
        """Tell those who want it which version has been reached."""
        for watch in self._open:
            if watch.has_bookmarks:
                watch.bookmark(self._store.version)

    def end(self) -> None:
        """End all streams in good order, as servers do after a while."""
        for watch in self._open:
            watch.end()

    def cut(self) -> None:
        """Break the connections of all streams."""
        for watch in self._open:
            break_connection(watch.request)

    def silence(self) -> None:
        """Let all streams die without a word: their connections stay, and nothing comes any more."""
        for watch in self._open:
            watch.is_silent = True

    def _begin(self, watch: Watch, of: Resource, namespace: str, matches: Match) -> None:
        """Put what has changed since the version that was asked for into a stream, or all that there is."""
        asked = int(watch.request.query.get("resourceVersion") or 0)
        try:
            if not asked:
                for found in filter(matches, self._store.items(of, namespace)):
                    watch.put("ADDED", found)
            for change in self._store.since(asked) if asked else ():
                watch.hear(change)
        except RefusedError as error:
            watch.put("ERROR", error.body())
            watch.end()
