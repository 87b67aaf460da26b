"""All that is held of one person, as JSON: for them, on their request."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer

from calipso.backend import Backend
from calipso.cli.common import Data, running, user_id_of
from calipso.codec import personal_data, public_data
from calipso.commands.handling import QUOTA, USER
from calipso.errors import Invalid
from calipso.events.envelope import Recorded
from calipso.events.naming import quota_stream
from calipso.projections import containers, experiments, users
from calipso.projections.guacamole import history

_ALL = 1_000_000
_OURS = {"link", "web_token", "web_prefix", "host", "port", "runtime_id"}  # where our parts are is no matter of a user


def export(
    name: Annotated[str, typer.Argument(help="The user name.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="A new file, for its owner alone.  [default: standard output]")
    ] = None,
    data: Data = None,
) -> None:
    """Give all that Calipso holds of a person: their events, and what lies beside them."""
    with running(data) as backend:
        found = held_of(backend, user_id_of(backend, name))
    text = msgspec.json.format(msgspec.json.encode(found), indent=2)
    if output is None:
        print(text.decode())
        return
    try:
        with open(output, "xb", opener=partial(os.open, mode=0o600)) as file:
            file.write(text + b"\n")
    except OSError as error:
        raise Invalid("--output", f"{output}: {error.strerror}") from error
    print(f"all that is held of {name} is in {output}")


def held_of(backend: Backend, user_id: UUID) -> Mapping[str, Any]:
    """All that is held of an account, as JSON values."""
    recorded = backend.store.mentioning(user_id)
    theirs = [each for each in recorded if is_about(each, user_id)]
    others = [each for each in recorded if not is_about(each, user_id)]
    user = backend.dispatcher.state(USER, user_id)
    with backend.engine.connect() as connection:
        account = users.by_id(connection, user_id)
        rows = containers.every_of(connection, user_id)
        joined = experiments.page(connection, user_id, page=1, page_size=_ALL).rows
    return {
        "facility": backend.settings.facility,
        "exported": datetime.now(UTC),
        "account": account,
        "identities": [
            {"issuer": issuer, "subject": subject} for issuer, subject in sorted(user.identities if user else ())
        ],
        "sign_in": {
            "has_local_password": backend.passwords.exists(user_id),
            "open_logins_until": backend.logins.of(user_id),
        },
        "quota": _quota(backend, user_id),
        "experiments": joined,
        "containers": [
            {field.name: getattr(row, field.name) for field in fields(row) if field.name not in _OURS} for row in rows
        ],
        "desktop_uses": _uses(backend, [row.container_id for row in rows]),
        "events": [_event(each, personal_data(each.event)) for each in theirs],
        # what is personal in these is somebody else's
        "events_caused": [_event(each, {}) for each in others],
    }


def is_about(recorded: Recorded, user_id: UUID) -> bool:
    """Whether an event tells of an account, and not only of something that its person did for others."""
    return bool(getattr(recorded.event, "user_id", None) == user_id)


def _event(recorded: Recorded, personal: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "position": recorded.position,
        "time": recorded.time,
        "type": recorded.event.topic(),
        "actor": recorded.actor,
        "data": {**public_data(recorded.event), **personal},
    }


def _quota(backend: Backend, user_id: UUID) -> Mapping[str, Any]:
    quota = backend.dispatcher.state(QUOTA, quota_stream(user_id))
    return {"limits": quota.limits or backend.settings.limits(), "is_own": quota.limits is not None}


def _uses(backend: Backend, container_ids: Sequence[UUID]) -> Sequence[history.Use]:
    if backend.guacamole_engine is None:
        return []
    with backend.guacamole_engine.connect() as connection:
        return history.uses_of(connection, container_ids)
