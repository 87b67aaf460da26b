"""Every error that Calipso raises on purpose. They carry fields; `api/problems.py` gives them their status."""

from dataclasses import dataclass


class CalipsoError(Exception):
    """Something that Calipso can name went wrong."""


@dataclass(eq=False)
class Invalid(CalipsoError):
    """A value from outside is not lawful: `field` names it, `reason` says what is expected."""

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


@dataclass(eq=False)
class NotFound(CalipsoError):
    """There is no such thing: `what` is the word of the kind, `name` what was asked for."""

    what: str
    name: str

    def __str__(self) -> str:
        return f"{self.what} {self.name!r} does not exist"


@dataclass(eq=False)
class AlreadyExists(CalipsoError):
    """The natural key is taken: `what` is the word of the kind, `name` the key."""

    what: str
    name: str

    def __str__(self) -> str:
        return f"{self.what} {self.name!r} already exists"


@dataclass(eq=False)
class Conflict(CalipsoError):
    """The thing is not in a state in which the command can be obeyed."""

    what: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}"


@dataclass(eq=False)
class StaleVersion(CalipsoError):
    """Another writer was first: the decision must be made again on the newer state."""

    stream: str

    def __str__(self) -> str:
        return f"stream {self.stream} was changed by another command"


@dataclass(eq=False)
class Unavailable(CalipsoError):
    """A part that Calipso needs does not answer: `part` names it, `reason` says what it told us."""

    part: str
    reason: str

    def __str__(self) -> str:
        return f"{self.part} is not available: {self.reason}"


@dataclass(eq=False)
class NotVisibleYet(CalipsoError):
    """The events are stored and hold, but a projection has not shown them in time."""

    projections: tuple[str, ...]
    event_id: str

    def __str__(self) -> str:
        return f"stored as event {self.event_id}, but not yet shown by: {', '.join(self.projections)}"


@dataclass(eq=False)
class UnreadableEvent(CalipsoError, LookupError):
    """An event of the store cannot be read by this program, most often because a newer one wrote it.

    `position` and `event_id` say which, `reason` why.
    """

    position: int
    event_id: str
    reason: str

    def __str__(self) -> str:
        which = f"event {self.event_id} at position {self.position}"
        return f"{which} cannot be read: {self.reason}; run the version of the program that wrote it, or a later one"


class Refused(CalipsoError):
    """A rule of the facility forbids the command."""


@dataclass(eq=False)
class NotPermitted(Refused):
    """The actor may not do this."""

    reason: str = "You do not have permission to perform this action."

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class NotAMember(Refused):
    """The user is no member of the experiment whose data was asked for."""

    proposal_id: str

    def __str__(self) -> str:
        return f"not a member of experiment {self.proposal_id}"


@dataclass(eq=False)
class AlreadyLaunched(Refused):
    """The user has an active container for this session already."""

    def __str__(self) -> str:
        return "Resource already launched"


@dataclass(eq=False)
class QuotaExceeded(Refused):
    """The user's quota does not hold what was asked for: `resource` is machines, cpus, memory or hdd."""

    resource: str

    def __str__(self) -> str:
        return f"Max {self.resource} exceeded"


@dataclass(eq=False)
class ContainerNotStarted(CalipsoError):
    """A requested container did not become usable: `reason` is a word of the record, `detail` the runtime's own."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"the container did not start ({self.reason}): {self.detail}"


class NotSignedIn(CalipsoError):
    """The request needs a login or credentials, and has none."""

    def __str__(self) -> str:
        return "Authentication credentials were not provided."


class WrongCredentials(CalipsoError):
    """The credentials of a request are not those of an account."""

    def __str__(self) -> str:
        return "Invalid username/password."


class CsrfFailed(NotPermitted):
    """A request by cookie changes something without proof that it comes from the frontend."""

    def __init__(self) -> None:
        super().__init__("CSRF Failed: CSRF token missing or incorrect.")


@dataclass(eq=False)
class TooManyRequests(CalipsoError):
    """A user has `most` requests open that wait for their outcome; another is heard in `seconds`, or when one ends."""

    most: int
    seconds: int

    def __str__(self) -> str:
        return f"{self.most} requests of this user wait for their outcome; try again in {self.seconds} s"


@dataclass(eq=False)
class TooManyAttempts(CalipsoError):
    """Sign-in was tried too often with wrong credentials; the next attempt is heard in `seconds`."""

    seconds: int

    def __str__(self) -> str:
        return f"too many attempts to sign in; try again in {self.seconds} s"
