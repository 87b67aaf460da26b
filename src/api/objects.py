"""The objects that clients get, key by key and in the order in which clients have always got them."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

Time = str
"""An ISO 8601 time in UTC with `Z`."""

Size = Annotated[str, msgspec.Meta(description="a number and a unit of one letter, such as 3G")]


Status = Literal["busy", "created", "stopped", "removed", "error"]


class ImageObject(msgspec.Struct, kw_only=True):
    """An entry of the catalogue; `resource_type` is 1 docker, 2 kubernetes, 3 virtual machine, 4 link."""

    public_name: str
    image: str
    protocol: str
    cpu: int | float
    memory: Size
    hdd: Size
    resource_type: int


class QuotaObject(msgspec.Struct, kw_only=True):
    """Limits, or what is used of them."""

    cpu: int | float
    memory: Size
    hdd: Size
    max_simultaneous: int


class AccountObject(msgspec.Struct, kw_only=True):
    """The account of a user."""

    username: str
    last_login: Time | None
    is_superuser: bool


class UserObject(msgspec.Struct, kw_only=True):
    """A user."""

    id: int
    calipso_uid: UUID
    user_id: int
    user: AccountObject


class SessionObject(msgspec.Struct, kw_only=True):
    """A dated visit of an experiment; `data_set_path` is a JSON object as text."""

    session_number: str
    start_date: Time | None
    end_date: Time | None
    subject: str
    body: str
    data_set_path: str


class ExperimentObject(msgspec.Struct, kw_only=True):
    """An experiment as one of its members sees it; `id` and `favorite` are of the membership."""

    proposal_id: str
    subject: str
    body: str
    beam_line: str
    sessions: list[SessionObject]
    uid: str
    gid: str
    id: int
    favorite: bool


class ContainerObject(msgspec.Struct, kw_only=True):
    """A container; its Guacamole account is told to its owner only."""

    id: int
    calipso_user: int
    calipso_experiment: str
    container_id: str
    container_name: str
    container_status: Status
    container_logs: str
    guacamole_username: str
    guacamole_password: str
    creation_date: Time
    host_port: str
    public_name: str
    container_info: str
    image: int | None
    num_cpus: int | float
    memory_allocated: Size
    hdd_allocated: Size


class UsersPage(msgspec.Struct, kw_only=True):
    """A page of users; the addresses are absolute."""

    next: str | None
    previous: str | None
    count: int
    results: list[UserObject]
    page_size: int


class ExperimentsPage(msgspec.Struct, kw_only=True):
    """A page of experiments; the addresses are absolute."""

    next: str | None
    previous: str | None
    count: int
    results: list[ExperimentObject]
    page_size: int


class FavoriteObject(msgspec.Struct, kw_only=True):
    """Whether an experiment is marked."""

    id: int
    favorite: bool


class RoleObject(msgspec.Struct, kw_only=True):
    """Whether a user administrates."""

    is_admin: bool


class LocalAuthObject(msgspec.Struct, kw_only=True):
    """Whether frontends offer local accounts."""

    local_auth: bool


class ResultObject(msgspec.Struct, kw_only=True):
    """A yes or a no."""

    result: bool


class AuthenticatedObject(msgspec.Struct, kw_only=True):
    """Who is signed in by cookie, if anybody is; both values are texts."""

    authenticated: Literal["true", "false"]
    username: str | msgspec.UnsetType = msgspec.UNSET


class MessageObject(msgspec.Struct, kw_only=True):
    """What there is to say."""

    msg: str


class PlaceObject(msgspec.Struct, kw_only=True):
    """Where to go."""

    url: str


class EventObject(msgspec.Struct, kw_only=True):
    """An event as a CloudEvent (version 1.0), with its public fields as `data`."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: Literal["application/json"]
    position: str
    streamversion: int
    schemaversion: int
    actor: str
    correlationid: str
    causationid: str
    data: dict[str, Any]


class StatusObject(msgspec.Struct, kw_only=True):
    """How it is."""

    status: str


class PartObject(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a part is; `lag` counts positions."""

    ok: bool
    detail: str
    position: int | None = None
    lag: int | None = None


class Problem(msgspec.Struct, kw_only=True):
    """What went wrong (RFC 9457); `error` says it too, for clients that look there."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    field: str | msgspec.UnsetType = msgspec.UNSET
    event: str | msgspec.UnsetType = msgspec.UNSET
    request_id: str | msgspec.UnsetType = msgspec.UNSET
