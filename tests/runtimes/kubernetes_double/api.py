"""The HTTP interface: from a request to objects, and back."""

import json
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from tests.runtimes.kubernetes_double import admission, schemas
from tests.runtimes.kubernetes_double.addresses import Addresses
from tests.runtimes.kubernetes_double.controllers import owners
from tests.runtimes.kubernetes_double.kubelet import Node
from tests.runtimes.kubernetes_double.patch import merged
from tests.runtimes.kubernetes_double.resources import ACCOUNTS, NAMESPACES, PODS, Asked, Resource, resource, selection
from tests.runtimes.kubernetes_double.rights import Rights
from tests.runtimes.kubernetes_double.status import (
    Json,
    RefusedError,
    bad_request,
    conflict,
    no_such_resource,
    status,
)
from tests.runtimes.kubernetes_double.store import Store, going
from tests.runtimes.kubernetes_double.trouble import Trouble, break_connection
from tests.runtimes.kubernetes_double.watches import Watches

_VERBS = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SPACE = "/{prefix:api/v1|apis/[^/]+/v1}/namespaces/{namespace}/{plural}"
_OVER = frozenset({"Succeeded", "Failed"})
_PULLING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the API server holds and speaks to."""

    store: Store
    node: Node
    addresses: Addresses
    rights: Rights
    watches: Watches
    trouble: Trouble


class Api:
    """The API server."""

    def __init__(self, parts: Parts) -> None:
        self._store, self._node, self._addresses = parts.store, parts.node, parts.addresses
        self._rights, self._watches, self._trouble = parts.rights, parts.watches, parts.trouble

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/version{end:/?}", self._version)
        # before the objects of a namespace, whose paths they match too
        app.router.add_route("*", "/{prefix:api/v1}/{plural:namespaces}", self._many)
        app.router.add_route("*", "/{prefix:api/v1}/{plural:namespaces}/{name}", self._one)
        app.router.add_get(_SPACE + "/{name}/{part:log}", self._log)
        app.router.add_post(_SPACE + "/{name}/{part:token}", self._token)
        app.router.add_route("*", _SPACE, self._many)
        app.router.add_route("*", _SPACE + "/{name}", self._one)
        app.router.add_route("*", "/{tail:.*}", self._nothing)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:  # noqa: ANN401 - aiohttp's own
        """Check who asks, let happen what is to go wrong, and tell refusals in the server's shape."""
        try:
            account = self._rights.account(request.headers.get("Authorization", ""))
            case = None
            if "plural" in request.match_info:
                asked = _asked(request)
                case = await self._trouble.strike(asked.verb, asked.of.plural)
                self._rights.check(account, asked)
            answer: web.StreamResponse = await handler(request)
        except RefusedError as error:
            return web.json_response(error.body(), status=error.code)
        if case is not None and case.loses:
            break_connection(request)
        return answer

    async def _version(self, _: web.Request) -> web.Response:
        major, minor = schemas.VERSION.split(".")
        return web.json_response({"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.0"})

    async def _nothing(self, _: web.Request) -> web.Response:
        raise no_such_resource()

    async def _many(self, request: web.Request) -> web.StreamResponse:
        asked, query = _asked(request), request.query
        if request.method == "POST":
            return web.json_response(self._create(asked, await _body(request)), status=201)
        matches = selection(asked.of, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        if request.method == "GET" and _is_watch(request):
            return await self._watches.serve(request, asked.of, asked.namespace, matches)
        found = [item for item in self._store.items(asked.of, asked.namespace) if matches(item)]
        if request.method == "DELETE":
            options = await self._options(request)
            for item in found:
                self._delete(asked.of, item, options)
        elif request.method != "GET":
            raise RefusedError(405, "MethodNotAllowed", "the server does not allow this method on the resource")
        return web.json_response(self._list(asked.of, found, query.get("limit"), query.get("continue")))

    async def _one(self, request: web.Request) -> web.Response:
        asked = _asked(request)
        found = self._store.get(asked.of, asked.namespace, asked.name)
        if request.method == "DELETE":
            return web.json_response(self._delete(asked.of, found, await self._options(request)))
        if request.method == "PUT":
            found = self._update(asked.of, found, await _body(request))
        elif request.method == "PATCH":
            patched = merged(found, await _body(request), request.content_type)
            found = self._update(asked.of, self._store.get(asked.of, asked.namespace, asked.name), patched)
        return web.json_response(found)

    async def _log(self, request: web.Request) -> web.Response:
        asked = _asked(request)
        pod = self._store.get(PODS, asked.namespace, asked.name)
        if "nodeName" not in pod["spec"]:
            return web.Response(status=204)
        lines = self._node.logs.get(pod["metadata"]["uid"])
        if lines is None:
            statuses = pod["status"].get("containerStatuses")
            reason = statuses[0]["state"]["waiting"]["reason"] if statuses else "ContainerCreating"
            why = f"is waiting to start: {_PULLING.get(reason, reason)}"
            raise bad_request(f'container "{pod["spec"]["containers"][0]["name"]}" in pod "{asked.name}" {why}')
        last = lines[-int(request.query["tailLines"]) :] if "tailLines" in request.query else lines
        return web.Response(text="".join(f"{line}\n" for line in last))

    async def _token(self, request: web.Request) -> web.Response:
        asked = _asked(request)
        self._store.get(ACCOUNTS, asked.namespace, asked.name)
        body = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", **await _body(request)}
        schemas.check("TokenRequest", body)
        end = datetime.now(UTC) + timedelta(seconds=body["spec"].get("expirationSeconds", 3600))
        token = self._rights.give(asked.namespace, asked.name)
        body["status"] = {"token": token, "expirationTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return web.json_response(body, status=201)

    def _create(self, asked: Asked, body: Json) -> Json:
        made = admission.admitted(self._store, self._addresses, asked.of, asked.namespace, body)
        return self._store.create(asked.of, asked.namespace, made)

    def _update(self, of: Resource, found: Json, wanted: Json) -> Json:
        metadata = found["metadata"]
        version = (wanted.get("metadata") or {}).get("resourceVersion")
        if version not in {None, metadata["resourceVersion"]}:
            why = "the object has been modified; please apply your changes to the latest version and try again"
            raise conflict(of.plural, metadata["name"], why)
        namespace = metadata.get("namespace", "")
        return self._store.settle(of, namespace, admission.changed(of, found, wanted))

    def _delete(self, of: Resource, found: Json, options: Json) -> Json:
        metadata, wanted = found["metadata"], (options.get("preconditions") or {}).get("uid")
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        if wanted not in {None, metadata["uid"]}:
            why = f"the UID in the precondition ({wanted}) does not match the UID in record ({metadata['uid']})"
            told = f"{why}. The object might have been deleted and then recreated"
            raise conflict(of.kind, name, told)
        self._let_go(metadata["uid"], options.get("propagationPolicy", "Background"))
        if of is NAMESPACES:
            return self._store.replace(of, "", {**found, "status": {"phase": "Terminating"}})
        if of is PODS and ((seconds := _grace(found, options)) or metadata.get("finalizers")):
            return self._store.settle(of, namespace, going(found, seconds))
        gone = self._store.remove(of, namespace, name)
        return (
            gone if of is PODS else status("Success", details={"name": name, "kind": of.plural, "uid": metadata["uid"]})
        )

    def _let_go(self, uid: str, policy: str) -> None:
        """What becomes of those whom an object owns; the collector finds those that are left to it."""
        owned = [(of, found) for of, found in self._store.everything() if uid in owners(found)]
        for of, found in owned:
            if policy == "Foreground":
                self._delete(of, found, {"gracePeriodSeconds": 0})
            elif policy == "Orphan":
                freed = deepcopy(found)
                others = [owner for owner in found["metadata"]["ownerReferences"] if owner["uid"] != uid]
                freed["metadata"].pop("ownerReferences")
                freed["metadata"] |= {"ownerReferences": others} if others else {}
                self._store.replace(of, found["metadata"]["namespace"], freed)

    def _list(self, of: Resource, found: list[Json], limit: str | None, after: str | None) -> Json:
        begin = int(after or 0)
        end = begin + int(limit or 0) if limit else len(found)
        metadata = {"resourceVersion": str(self._store.version), **({"continue": str(end)} if end < len(found) else {})}
        items = [{key: value for key, value in one.items() if key not in {"kind", "apiVersion"}} for one in found]
        return {"kind": f"{of.kind}List", "apiVersion": of.api_version, "metadata": metadata, "items": items[begin:end]}

    async def _options(self, request: web.Request) -> Json:
        """How something is to be deleted, from the body and the query."""
        body = await _body(request) if request.can_read_body else {}
        schemas.check_deletion(body)
        query = request.query
        if "gracePeriodSeconds" in query:
            body["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
        return {**body, **({"propagationPolicy": query["propagationPolicy"]} if "propagationPolicy" in query else {})}


def _asked(request: web.Request) -> Asked:
    words = request.match_info
    of = resource(words["prefix"], words["plural"])
    namespace = "" if of is NAMESPACES else words.get("namespace", "")
    return Asked(
        verb=_verb(request), of=of, namespace=namespace, name=words.get("name", ""), part=words.get("part", "")
    )


def _verb(request: web.Request) -> str:
    if "name" in request.match_info or request.method == "POST":
        return _VERBS.get(request.method, "")
    if request.method == "DELETE":
        return "deletecollection"
    return "watch" if _is_watch(request) else "list"


def _is_watch(request: web.Request) -> bool:
    return request.query.get("watch", "").lower() in {"1", "true"}


async def _body(request: web.Request) -> Any:  # noqa: ANN401 - from outside
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from error


def _grace(pod: Json, options: Json) -> int:
    """The seconds that a pod has to end; none when it has, or never began."""
    if "nodeName" not in pod["spec"] or pod["status"]["phase"] in _OVER:
        return 0
    asked = options.get("gracePeriodSeconds")
    seconds: int = pod["spec"]["terminationGracePeriodSeconds"] if asked is None else asked
    return seconds
