"""A small facility in a store: an image that is a link, a target, and as many users as are asked for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from calipso.codec import Codec
from calipso.commands.dispatch import Dispatcher, cause_of
from calipso.commands.policy import Policy
from calipso.commands.request import RequestContainer, TargetOffered
from calipso.credentials import MasterKeys, parse_master_keys
from calipso.database import Database
from calipso.events.image import ImageAdded
from calipso.events.user import UserRegistered
from calipso.events.values import ImageSpec, Limits, Protocol, Resources, Runtime
from calipso.store import PostgresStore
from calipso.vault import SUBJECT_KEYS_DDL, PostgresSubjectKeys

GIB = 1 << 30
IMAGE, TARGET = uuid4(), uuid4()
LINK = ImageSpec(
    reference="https://example.org/", runtime=Runtime.STATIC_LINK, protocol=Protocol.NONE, resources=Resources()
)
POLICY = Policy(
    limits=Limits(containers=10**6, resources=Resources(millicores=10**9, memory=GIB * 10**6, disk=GIB * 10**6)),
    targets={Runtime.STATIC_LINK: ("links",)},
    datasets_root="/data",
    output_root="/results",
    uid=1000,
    gid=1000,
    groups=(100,),
    run_limit=timedelta(minutes=4),
    key_number=1,
)


@dataclass(frozen=True, kw_only=True)
class Facility:
    """The parts that commands need."""

    database: Database
    store: PostgresStore
    dispatcher: Dispatcher


@contextmanager
def facility(url: str, *, connections: int = 40) -> Iterator[Facility]:
    """A store in an empty database, with the image in it."""
    database = Database(url, pool_size=connections)
    with database.connect() as connection:
        connection.execute(SUBJECT_KEYS_DDL.encode())
    store = PostgresStore(database, Codec(PostgresSubjectKeys(database.connect, master_keys())))
    store.migrate()
    store.append([ImageAdded(image_id=IMAGE, name="link", spec=LINK)], expected={}, cause=cause_of("service:bench"))
    try:
        yield Facility(database=database, store=store, dispatcher=Dispatcher(store, POLICY))
    finally:
        database.close()


def master_keys() -> MasterKeys:
    """A master key for measurements."""
    return parse_master_keys("1:" + "A" * 43 + "=")


def register(facility: Facility, number: int) -> Sequence[UUID]:
    """Register users, many in one command."""
    users = [uuid4() for _ in range(number)]
    for first in range(0, number, 500):
        events = [UserRegistered(user_id=user, name=f"user-{user.hex}") for user in users[first : first + 500]]
        facility.store.append(events, expected={}, cause=cause_of("service:bench"))
    return users


def request(user: UUID) -> RequestContainer:
    """A request of a user for the link."""
    container = uuid4()
    return RequestContainer(
        container_id=container,
        user_id=user,
        image_id=IMAGE,
        image_name="link",
        label=container.hex[:8],
        info=container.hex[:8],
        targets=(TargetOffered(target_id=TARGET, name="links"),),
    )
