"""The operations of the interface: what each takes and answers. A test compares this table with the routes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from calipso.api import objects
from calipso.api.audit_objects import EventsPage
from calipso.api.experiments import FavoriteBody
from calipso.api.images import ImageBody
from calipso.api.outside.icat import InvestigationUser
from calipso.api.past import AT
from calipso.api.quotas import QuotaBody
from calipso.api.reach_objects import MembersObject, ReachObject
from calipso.api.sessions import CredentialsBody
from calipso.api.umbrella import UmbrellaBody, UmbrellaSession
from calipso.api.usage_objects import UsageObject
from calipso.api.users import RoleBody

HTML, TEXT, JSON = "text/html", "text/plain", "application/json"
BATCH = "application/cloudevents-batch+json"
SCHEMA = "application/schema+json"
STREAM = "text/event-stream"

_PAGE = {
    "page": "the number of the page, from 1",
    "ordering": "a field by which the list is ordered, with a minus sign for the other way round",
    "search": "a text that must be found in an entry",
}
_PERIOD = {
    "since": "a time with its zone, or a date for its beginning in UTC; nothing before it",
    "until": "a time with its zone, or a date for its beginning in UTC; nothing after it",
}
_HISTORY = {
    "stream": "the uuid of a stream",
    "user": "whom the events are about: a user name or a uuid",
    "experiment": "a public number or a uuid",
    "container": "a name, a uuid or an integer id",
    "kind": "the kind of the streams, such as container",
    "type": "the type of the events, such as ContainerStarted",
    "actor": "who caused them: a user name, a uuid, or an actor as events name it",
    "correlation": "the id of the request from which all came",
    **_PERIOD,
}
_CURSOR = {
    "order": "oldest (the default) or newest first",
    "limit": "how many at most, from 1 to 1000 (100)",
    "after": "where to go on: from `next` of the page before",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is answered with a status: a value of a type as some JSON, a body of another kind, or (None) nothing.

    `other` is a kind of text that is answered instead to who asks for it; `told` says what it means.
    """

    shape: Any = None
    kind: str = JSON
    other: str = ""
    told: str = ""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What may be asked: `body` is the type of what is sent, `query` and `headers` tell each parameter.

    `answers` are those with a meaning of their own; any other is a problem.
    """

    answers: Mapping[int, Answer]
    body: type | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    is_open: bool = False


def _ok(shape: object, **given: Any) -> Operation:  # noqa: ANN401 - the fields of Operation
    return Operation(answers={200: Answer(shape=shape)}, **given)


def _for_browsers(*statuses: int, **given: Any) -> Operation:  # noqa: ANN401 - the fields of Operation
    pages = {status: Answer(kind=HTML) for status in (*statuses, 400, 403, 404, 429, 502, 503)}
    return Operation(answers={**pages, 302: Answer()}, is_open=True, **given)


_CONTAINERS = _ok(list[objects.ContainerObject], query=AT)
_RUN = Operation(answers={201: Answer(shape=objects.ContainerObject)})
_END = _ok(objects.ContainerObject)
_MARK = _ok(objects.FavoriteObject, body=FavoriteBody)
_HEALTH = {status: Answer(shape=dict[str, Any]) for status in (200, 503)}

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/settings/"): _ok(objects.LocalAuthObject, is_open=True),
    ("POST", "/login/"): Operation(
        answers={status: Answer(shape=str) for status in (200, 400, 401)}, body=CredentialsBody, is_open=True
    ),
    ("GET", "/login/type/"): _ok(objects.ResultObject, is_open=True),
    ("GET", "/logout/"): _ok(str, is_open=True),
    ("GET", "/authenticated/"): Operation(
        answers={status: Answer(shape=objects.AuthenticatedObject) for status in (200, 401)}, is_open=True
    ),
    ("GET", "/openidtest/"): _for_browsers(200),
    ("GET", "/oidc/authenticate/"): _for_browsers(query={"after": "console, to go on there after the sign-in"}),
    ("GET", "/oidc/callback/"): _for_browsers(
        query=dict.fromkeys(("code", "state", "error", "error_description"), "what the provider says")
    ),
    ("POST", "/oidc/logout/"): _for_browsers(),
    ("GET", "/umbrella/session/"): Operation(
        answers={200: Answer(shape=UmbrellaSession), 404: Answer(shape=objects.MessageObject)}, is_open=True
    ),
    ("GET", "/umbrella/login/"): Operation(answers={302: Answer()}, is_open=True),
    ("GET", "/umbrella/frontend/"): Operation(answers={302: Answer()}, is_open=True),
    ("POST", "/umbrella/wuo/"): Operation(
        answers={200: Answer(shape=str), 400: Answer(shape=str), 404: Answer(shape=objects.MessageObject)},
        body=UmbrellaBody,
        is_open=True,
    ),
    ("GET", "/umbrella/logout/"): Operation(answers={200: Answer(shape=str), 302: Answer()}, is_open=True),
    ("GET", "/images/"): _ok(list[objects.ImageObject], query=AT),
    ("GET", "/images/{public_name}/"): _ok(objects.ImageObject, query=AT),
    ("POST", "/images/{public_name}/"): Operation(answers={201: Answer()}, body=ImageBody),
    ("PUT", "/images/{public_name}/"): Operation(answers={200: Answer()}, body=ImageBody),
    ("DELETE", "/images/{public_name}/"): Operation(answers={204: Answer()}),
    ("GET", "/quota/{username}/"): _ok(objects.QuotaObject, query=AT),
    ("POST", "/quota/{username}/"): Operation(answers={200: Answer()}, body=QuotaBody),
    ("GET", "/used_quota/{username}/"): _ok(objects.QuotaObject, query=AT),
    ("GET", "/users/"): _ok(objects.UsersPage, query=_PAGE),
    ("GET", "/users/{username}/"): _ok(objects.UserObject),
    ("GET", "/users/{username}/admin"): _ok(objects.RoleObject),
    ("POST", "/users/{username}/admin"): Operation(answers={200: Answer()}, body=RoleBody),
    ("GET", "/users/{username}/containers/"): _CONTAINERS,
    ("GET", "/users/{username}/experiments/"): _ok(
        objects.ExperimentsPage,
        query={**_PAGE, **AT, "calipsouserexperiment__favorite": "1 for the marked ones alone, 0 for the others"},
    ),
    ("PUT", "/favorite/{number}/"): _MARK,
    ("PATCH", "/favorite/{number}/"): _MARK,
    ("GET", "/experiments/{investigation}/users"): _ok(list[InvestigationUser]),
    ("GET", "/containers/"): _CONTAINERS,
    ("GET", "/activecontainers/"): _CONTAINERS,
    ("GET", "/containers/{number}"): _ok(objects.ContainerObject, query=AT),
    ("POST", "/containers/{number}/enter"): _ok(objects.PlaceObject),
    ("GET", "/audit/events/"): _ok(EventsPage, query={**_HISTORY, **_CURSOR}),
    ("GET", "/audit/reach/"): _ok(ReachObject, query={"dataset": "a folder of the targets", **AT}),
    ("GET", "/audit/usage/"): _ok(
        UsageObject, query={**_PERIOD, "by": "any of user, experiment, image, runtime, day, separated by commas"}
    ),
    ("GET", "/audit/members/"): _ok(MembersObject, query={"experiment": "a public number or a uuid", **AT}),
    ("GET", "/enter/"): _for_browsers(query={"t": "base64 of un=ACCOUNT&up=PASSWORD"}),
    ("GET", "/resource/list/{username}/"): _CONTAINERS,
    ("GET", "/resource/run/{username}/{experiment}/{public_name}/"): _RUN,
    ("POST", "/resource/run/{username}/{experiment}/{public_name}/"): _RUN,
    ("GET", "/resource/stop/{username}/{name}/{public_name}/"): _END,
    ("POST", "/resource/stop/{username}/{name}/{public_name}/"): _END,
    ("GET", "/resource/rm/{username}/{name}/{public_name}/"): _END,
    ("POST", "/resource/rm/{username}/{name}/{public_name}/"): _END,
    ("GET", "/events/"): Operation(
        answers={
            200: Answer(shape=list[objects.EventObject], kind=BATCH, other=STREAM),
            429: Answer(told="the caller follows events too often already; Retry-After tells when to come back"),
            503: Answer(told="too many follow events, or an event was written by a newer program, which must run here"),
        },
        headers={"Last-Event-ID": "with Accept: text/event-stream, a position after which to begin; else from now on"},
        query={
            "all": "1, with Accept: text/event-stream, for an administrator who follows all containers",
            "after": "a position; 0, the default, for all",
            "limit": "how many at most, from 1 to 1000; 500",
        },
    ),
    ("GET", "/health"): Operation(answers=_HEALTH, is_open=True),
    ("GET", "/health/live"): _ok(objects.StatusObject, is_open=True),
    ("GET", "/health/ready"): Operation(
        answers={status: Answer(shape=objects.StatusObject) for status in (200, 503)}, is_open=True
    ),
    ("GET", "/metrics"): Operation(answers={200: Answer(kind=TEXT)}, is_open=True),
    ("GET", "/openapi.json"): _ok(dict[str, Any], is_open=True),
    ("GET", "/asyncapi.json"): _ok(dict[str, Any], is_open=True),
    ("GET", "/schemas/{file}"): Operation(answers={200: Answer(shape=dict[str, Any], kind=SCHEMA)}, is_open=True),
    ("GET", "/docs/"): _for_browsers(200),
    ("GET", "/docs/{file}"): Operation(answers={200: Answer(kind="*/*")}, is_open=True),
}


def shapes() -> Sequence[Any]:
    """The types of all bodies and answers."""
    found = [answer.shape for each in OPERATIONS.values() for answer in each.answers.values()]
    return [objects.Problem, *(each.body for each in OPERATIONS.values() if each.body), *filter(None, found)]
