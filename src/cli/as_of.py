"""What was at a moment of the past, on the command line."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
import typer

from calipso.api.reach_objects import members_object, reach_object
from calipso.backend import Backend
from calipso.cli.common import Data, running
from calipso.cli.history import record, warn_if_behind
from calipso.cli.rows import Format, FormatOption, write
from calipso.moments import parse_moment
from calipso.projections import audit, containers, experiments, images, past, quotas
from calipso.projections.audit.question import user_of
from calipso.projections.past import View

_MANY = 10**6

T = TypeVar("T")
Rows = tuple[Sequence[str], Sequence[dict[str, Any]]]


class What(StrEnum):
    """What is asked for."""

    CONTAINERS = "containers"
    QUOTA = "quota"
    IMAGES = "images"
    EXPERIMENTS = "experiments"
    MEMBERS = "members"
    WHO_COULD = "who-could"


def as_of(
    time: Annotated[str, typer.Argument(help="A moment with its zone, such as 2026-11-20T14:03:00Z.")],
    what: Annotated[What, typer.Argument(help="What is asked for.")],
    of: Annotated[
        str,
        typer.Argument(
            help="Of containers (all without it), quota and experiments: the user. Of members: the experiment. "
            "Of who-could: the data set, a folder of the targets."
        ),
    ] = "",
    form: FormatOption = Format.TABLE,
    data: Data = None,
) -> None:
    """Tell what was at a moment: containers, a quota, the catalogue, or who could reach a data set, and why."""
    moment = parse_moment(time, "time")
    if not of and what not in {What.CONTAINERS, What.IMAGES}:
        raise typer.BadParameter(f"say of whom or what: calipso as-of {time} {what} ...", param_hint="OF")
    with running(data) as backend:
        asked = _Asked(backend, moment, of)
        warn_if_behind(backend, asked.query(audit.position))
        columns, rows = _ROWS[what](asked)
        if what is not What.IMAGES:
            whom = asked.user_id() if of and what in _OF_USERS else None
            record(backend, f"as-of {what}", whom, {"at": time} | ({"experiment": of} if what is What.MEMBERS else {}))
        write(rows, columns, form)


@dataclass(frozen=True)
class _Asked:
    """What was asked, and who answers."""

    backend: Backend
    moment: datetime
    of: str

    def query(self, ask: Callable[[Any], T]) -> T:
        """Ask the read models as they are."""
        with self.backend.engine.connect() as connection:
            return ask(connection)

    def then(self, view: View, ask: Callable[[Any], T]) -> T:
        """Ask the read models as they were."""
        position = self.backend.store.position_at(self.moment)
        return past.look(self.backend.engine, self.backend.store, position, view, ask)

    def user_id(self) -> UUID:
        """The user who was named."""
        return self.query(lambda connection: user_of(connection, self.of))


def _containers(asked: _Asked) -> Rows:
    owner = asked.user_id() if asked.of else None
    found = asked.then(past.containers_of(owner), partial(containers.every_of, user_id=owner))
    columns = ("id", "name", "user_id", "image_name", "target", "state", "label", "info", "created", "started", "ended")
    return columns, [_told(row, columns) for row in found]


def _quota(asked: _Asked) -> Rows:
    user_id = asked.user_id()
    limits = asked.then(past.quota_of(user_id), partial(quotas.limits_of, user_id=user_id))
    count, used = asked.then(past.quota_of(user_id), partial(quotas.used_by, user_id=user_id))
    chosen = limits or asked.backend.settings.limits()
    rows = [
        {"what": "limits", "of": "the user's own" if limits else "the facility's, as they are set now"}
        | {"containers": chosen.containers, **vars(chosen.resources)},
        {"what": "used", "of": "the user's own", "containers": count, **vars(used)},
    ]
    return ("what", "of", "containers", "millicores", "memory", "disk"), rows


def _images(asked: _Asked) -> Rows:
    rows = [
        _told(row, ("id", "name")) | _told(row.spec, ("reference", "runtime", "protocol")) | vars(row.spec.resources)
        for row in asked.then(past.CATALOGUE, images.every)
    ]
    return ("id", "name", "reference", "runtime", "protocol", "millicores", "memory", "disk"), rows


def _experiments(asked: _Asked) -> Rows:
    user_id = asked.user_id()
    ask = partial(experiments.page, user_id=user_id, page=1, page_size=_MANY)
    found = asked.then(past.experiments_of(user_id), ask).rows
    columns = ("proposal_id", "title", "beam_line", "favorite")
    rows = [_told(row, columns) | {"sessions": [each.session_number for each in row.sessions]} for row in found]
    return (*columns, "sessions"), rows


def _members(asked: _Asked) -> Rows:
    found = msgspec.to_builtins(asked.query(partial(members_object, asked.backend, text=asked.of, moment=asked.moment)))
    told = ("position", "time", "sentence")
    rows = [{**row, **{name: row["evidence"][name] for name in told}} for row in found["members"]]
    return ("user", "user_id", "membership_id", "source", *told), rows


def _who_could(asked: _Asked) -> Rows:
    ask = partial(reach_object, asked.backend, dataset=asked.of, moment=asked.moment)
    found = msgspec.to_builtins(asked.query(ask))
    if found["note"]:
        print(f"note: {found['note']}", file=sys.stderr)
    columns = ("how", "user", "experiment", "session", "container", "membership_id", "positions", "why")
    rows = [{**way, "positions": [event["position"] for event in way["evidence"]]} for way in found["ways"]]
    return columns, rows


def _told(row: object, columns: Sequence[str]) -> dict[str, Any]:
    """Some attributes of a row, as JSON values."""
    found: dict[str, Any] = msgspec.to_builtins({name: getattr(row, name) for name in columns})
    return found


_OF_USERS = {What.CONTAINERS, What.QUOTA, What.EXPERIMENTS}
_ROWS: Mapping[What, Callable[[_Asked], Rows]] = {
    What.CONTAINERS: _containers,
    What.QUOTA: _quota,
    What.IMAGES: _images,
    What.EXPERIMENTS: _experiments,
    What.MEMBERS: _members,
    What.WHO_COULD: _who_could,
}
