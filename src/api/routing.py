"""Which handler serves a request: the library's router, and what the contract says of slashes, HEAD and 405."""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from sanic import Request
from sanic.router import Router as SanicRouter
from sanic.signals import SignalRouter
from sanic_routing.exceptions import NoMethod, NotFound
from sanic_routing.route import Route

Resolved = tuple[Route, Callable[..., Any], dict[str, Any]]

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


class Router(SanicRouter):
    """Every route is strict about its slash; HEAD is served wherever a GET changes nothing.

    A route whose GET changes something says so by `ctx_changes=True`.

    Args:
        base: the path below which all routes lie, with a slash at both ends.
    """

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def resolve(
        self,
        path: str,
        *,
        method: str | None = None,
        orig: str | None = None,
        extra: dict[str, str] | None = None,  # noqa: ARG002 - the library's, for routes of one host
    ) -> Resolved:
        """Find the route of a path and a method.

        Raises:
            NotFound: the path names nothing.
            NoMethod: it does, but not by this method; the error names all that it has.
        """
        # the library comes here again without the last slash, which with strict routes is another path
        if orig is not None:
            raise NotFound("no such path", path=orig)
        found = self._found(path, method)
        if found is not None:
            return found
        if allowed := self.methods_of(path):
            raise NoMethod("no such method", method=method, allowed_methods=set(allowed), path=path)
        raise NotFound("no such path", path=path)

    def methods_of(self, path: str) -> Sequence[str]:
        """The methods by which a path may be asked for, none when it names nothing."""
        found = [method for method in (*_METHODS, "HEAD") if self._found(path, method)]
        return sorted([*found, "OPTIONS"]) if found else []

    def _found(self, path: str, method: str | None) -> Resolved | None:
        if not path.startswith(self._base):
            return None
        try:
            found: Resolved = super().resolve(path[len(self._base) - 1 :], method="GET" if method == "HEAD" else method)
        except (NotFound, NoMethod):
            return None
        changes = getattr(found[0].ctx, "changes", False)
        return None if method == "HEAD" and changes else found


def methods_of(request: Request, path: str) -> Sequence[str]:
    """The methods by which a path may be asked for in the application of a request, none when it names nothing."""
    router = request.app.router
    return router.methods_of(path) if isinstance(router, Router) else ()


class Signals(SignalRouter):
    """The library's signals without those of each request, for which nobody waits here."""

    async def dispatch(self, event: str | Enum, **given: Any) -> Any:  # noqa: ANN401 - the library's
        """Tell of an event of the server."""
        name = event.value if isinstance(event, Enum) else event
        return None if name.startswith("http.") else await super().dispatch(event, **given)
