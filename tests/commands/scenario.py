"""Given these events, when this command comes, then these events follow, or this error."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import calipso.commands.dispatch  # noqa: F401 - registers every handler
from calipso.commands.handling import HANDLERS, Circumstances, Fold
from calipso.commands.policy import Policy
from calipso.errors import CalipsoError
from calipso.events import experiment, image, user
from calipso.events.envelope import Event
from calipso.events.naming import Naming
from calipso.events.values import ImageSpec, Limits, Mode, Protocol, Resources, Runtime, Volume

GIB = 1 << 30
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMING = Naming(b"the naming key of the scenarios")
ADA = UUID("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa")
BOB = UUID("bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb")
MEMBERSHIP = UUID("cccccccc-cccc-4ccc-8ccc-cccccccccccc")
DESKTOP = NAMING.image("desktop")
P1 = NAMING.experiment("P1")

SMALL = Resources(millicores=1000, memory=2 * GIB, disk=GIB)
LIMITS = Limits(containers=3, resources=Resources(millicores=4000, memory=8 * GIB, disk=6 * GIB))
POLICY = Policy(
    limits=LIMITS,
    targets={Runtime.DOCKER: ("docker-a", "docker-b"), Runtime.STATIC_LINK: ("links",)},
    datasets_root="/datasets",
    output_root="/output",
    uid=2000,
    gid=2001,
    groups=(100, 44),
    run_limit=timedelta(minutes=5),
    key_number=3,
)
SPEC = ImageSpec(reference="desktop:12", runtime=Runtime.DOCKER, protocol=Protocol.VNC, resources=SMALL)
LINK = ImageSpec(
    reference="https://wiki.example/", runtime=Runtime.STATIC_LINK, protocol=Protocol.NONE, resources=Resources()
)
OUTPUT = Volume(source="/output/P1", bind="/P1", mode=Mode.READ_WRITE)
DATA = Volume(source="/datasets/P1", bind="P1/raw", mode=Mode.READ_ONLY)
SESSION = experiment.SessionDetails(
    session_number="S1", start=None, end=None, subject="", body="", volumes=(OUTPUT, DATA)
)
DETAILS = experiment.ExperimentDetails(title="Ice", description="", beam_line="BL13")

ADA_REGISTERED = user.UserRegistered(user_id=ADA, name="ada")
DESKTOP_ADDED = image.ImageAdded(image_id=DESKTOP, name="desktop", spec=SPEC)
P1_ADDED = experiment.ExperimentAdded(experiment_id=P1, proposal_id="P1", details=DETAILS)
S1_ADDED = experiment.SessionAdded(experiment_id=P1, session=SESSION)
ADA_MEMBER = experiment.MemberAdded(experiment_id=P1, user_id=ADA, membership_id=MEMBERSHIP)


@dataclass(frozen=True)
class Outcome:
    """What a command led to."""

    events: Sequence[Event] = ()
    error: CalipsoError | None = None

    def then(self, *expected: Event) -> None:
        """Exactly these events, none meaning that the command was achieved already."""
        assert self.error is None
        assert list(self.events) == list(expected)

    def then_error(self, expected: CalipsoError) -> None:
        """This error with these fields."""
        assert (type(self.error), vars(self.error or object)) == (type(expected), vars(expected))

    def then_raises(self, error_type: type[CalipsoError], **fields: str) -> None:
        """An error of this type; of its fields those that are given."""
        assert isinstance(self.error, error_type)
        assert {name: getattr(self.error, name) for name in fields} == fields


@dataclass(frozen=True)
class History:
    """Facts that were stored, from which a decision reads what it wants."""

    events: Sequence[Event]

    def __call__(self, fold: Fold[Any], stream: UUID, *, guarded: bool = True) -> Any:  # noqa: ANN401, ARG002 - the protocol
        """The state of a stream."""
        state = fold.initial
        for event in self.events:
            if event.stream == stream:
                state = fold.evolve(state, event)
        return state

    def and_then(self, *events: Event) -> "History":
        """The same, and these after them."""
        return replace(self, events=[*self.events, *events])

    def when(self, command: object, *, now: datetime = NOW, policy: Policy = POLICY) -> Outcome:
        """Decide a command on what was stored."""
        try:
            events = HANDLERS[type(command)](command, self, Circumstances(now=now, policy=policy))
        except CalipsoError as error:
            return Outcome(error=error)
        return Outcome(events=events)


def given(*events: Event) -> History:
    """What was stored before."""
    return History(events)
