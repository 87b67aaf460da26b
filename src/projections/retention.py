"""Which accounts nobody has used for so long that what is personal of them need not be kept."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, exists, or_, select

from calipso.events.container import ACTIVE, State
from calipso.projections.containers import containers
from calipso.projections.experiments import members, sessions
from calipso.projections.users import UserRow, row_of, users

_KEPT = sorted({*ACTIVE, State.STOPPED})


def unused(connection: Connection, *, position: int, before: datetime) -> Sequence[UserRow]:
    """The accounts without a role of which nothing was heard since a time, the oldest first.

    Not registered, not signed in, no membership given, no session of an experiment of theirs ended, no container asked
    for or ended since; and no container that is still there. The integer ids of rows are positions of events.

    Args:
        connection: of the read models' database.
        position: of the last event before the time.
        before: the time (UTC).
    """
    theirs = containers.c.user_id == users.c.user_id
    membership = members.c.user_id == users.c.user_id
    uses = exists().where(
        theirs, or_(containers.c.id > position, containers.c.state.in_(_KEPT), containers.c.ended >= before)
    )
    joins = exists().where(membership, members.c.link_id > position)
    visits = exists().where(membership, sessions.c.experiment_id == members.c.experiment_id, sessions.c.end >= before)
    query = select(users).where(
        users.c.id <= position,
        ~users.c.erased,
        ~users.c.is_administrator,
        ~users.c.is_auditor,
        or_(users.c.last_login.is_(None), users.c.last_login < before),
        ~uses,
        ~joins,
        ~visits,
    )
    return [row_of(row) for row in connection.execute(query.order_by(users.c.id)).mappings()]
