"""Every event as a sentence that a person understands.

A new event needs a line in `SENTENCES`; a test fails without it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

from calipso.events import audit, container, experiment, image, quota, refusals, target, user
from calipso.events.envelope import Event, Unreadable
from calipso.events.naming import parse_uuid
from calipso.events.values import Limits, Resources, SessionRef

_GIB = 2**30
_OUR_WORDS = ("the ", "container ", "somebody ")
_SERVICES = {
    "service:api": "the API",
    "service:command-line": "the command line",
    "service:provider": "the provider of experiments",
}
_RULES = {
    refusals.RefusalReason.NOT_A_MEMBER: "is not a member of the experiment",
    refusals.RefusalReason.ALREADY_LAUNCHED: "has an active container of that name already",
    refusals.RefusalReason.MACHINES: "would have had too many containers",
    refusals.RefusalReason.CPUS: "would have had too many processors",
    refusals.RefusalReason.MEMORY: "would have had too much memory",
    refusals.RefusalReason.HDD: "would have had too much disk",
}


class Names(Protocol):
    """What things are called; a thing without a known name is called by its uuid."""

    def user(self, user_id: UUID) -> str:
        """The name of an account, a placeholder once it is erased."""

    def experiment(self, experiment_id: UUID) -> str:
        """The public number of an experiment."""

    def image(self, image_id: UUID) -> str:
        """The name of a catalogue entry."""


def tell(event: Event, actor: str, names: Names) -> str:
    """The sentence of an event.

    Args:
        event: any event.
        actor: who caused it, as the store names them.
        names: what the things in it are called.
    """
    sentence = SENTENCES[type(event)](event, told_actor(actor, names), names) + "."
    # a user's name is written as it is, also at the beginning
    return sentence[0].upper() + sentence[1:] if sentence.startswith(_OUR_WORDS) else sentence


def told_actor(actor: str, names: Names) -> str:
    """Who caused something, in words."""
    kind, _, name = actor.partition(":")
    if actor in _SERVICES:
        return _SERVICES[actor]
    if kind == "user":
        return names.user(user_id) if (user_id := parse_uuid(name)) else actor
    return f"the {kind} of {name}" if kind in {"provisioner", "reconciler"} else actor or "somebody"


def _container(container_id: UUID) -> str:
    return f"container {container_id.hex[:8]}"


def _resources(resources: Resources) -> str:
    return (
        f"{resources.millicores / 1000:g} processors, {resources.memory / _GIB:g} GiB of memory and "
        f"{resources.disk / _GIB:g} GiB of disk"
    )


def _limits(limits: Limits) -> str:
    return f"{limits.containers} containers, {_resources(limits.resources)}"


def _beside(session: SessionRef | None) -> str:
    return f" beside session {session.session_number} of {session.proposal_id}" if session else ""


def _requested(event: container.ContainerRequested, actor: str, names: Names) -> str:
    owner = names.user(event.user_id)
    whom = "" if owner == actor else f" for {owner}"
    return (
        f"{actor} asked for {_container(event.container_id)} of {event.image_name}{whom}{_beside(event.session)}, "
        f"to run on {event.target} with {_resources(event.resources)}"
    )


def _refused(event: refusals.ContainerRequestRefused, _: str, names: Names) -> str:
    return (
        f"{names.user(event.user_id)} was refused a container of {event.image_name} ({event.label}), because they "
        f"{_RULES[event.reason]}: with {event.used_containers} containers, {_resources(event.used)} of at most "
        f"{_limits(event.limits)}"
    )


def _read(event: audit.HistoryRead, actor: str, names: Names) -> str:
    whose = names.user(event.user_id) if event.user_id else "others"
    narrowed = ", ".join(f"{name} {value}" for name, value in sorted(event.asked.items()))
    return f"{actor} read what is recorded of {whose} ({event.what}{': ' if narrowed else ''}{narrowed})"


def _member(event: experiment.MemberAdded, actor: str, names: Names) -> str:
    return f"{actor} made {names.user(event.user_id)} a member of {names.experiment(event.experiment_id)}"


def _unreadable(event: Unreadable, actor: str, _: Names) -> str:
    return f"{actor} did something that this program does not know ({event.stored_topic}): {event.reason}"


Sentence = Callable[[Any, str, Names], str]

SENTENCES: Mapping[type[Event], Sentence] = {
    audit.HistoryRead: _read,
    container.ContainerRequested: _requested,
    container.ContainerStarting: lambda e, a, _: f"{a} began to start {_container(e.container_id)} (as {e.claimant})",
    container.ContainerAdopted: lambda e, a, _: (
        f"{a} took on {_container(e.container_id)} where it was found (as {e.claimant}): {e.reason}"
    ),
    container.ContainerStarted: lambda e, _, n: (
        f"{_container(e.container_id)} of {n.user(e.user_id)} became usable on {e.target}"
    ),
    container.ContainerFailed: lambda e, _, n: (
        f"{_container(e.container_id)} of {n.user(e.user_id)} failed ({e.reason})" + (e.detail and f": {e.detail}")
    ),
    container.ContainerStopRequested: lambda e, a, _: f"{a} asked to stop {_container(e.container_id)}",
    container.ContainerStopped: lambda e, _, n: (
        f"{_container(e.container_id)} of {n.user(e.user_id)} stopped: {e.reason}"
    ),
    container.ContainerRemovalRequested: lambda e, a, _: f"{a} asked to remove {_container(e.container_id)}",
    container.ContainerRemoved: lambda e, _, n: (
        f"{_container(e.container_id)} of {n.user(e.user_id)} was removed from {e.target}"
    ),
    container.ContainerLost: lambda e, _, n: (
        f"{_container(e.container_id)} of {n.user(e.user_id)} was lost on {e.target}: {e.reason}"
    ),
    experiment.ExperimentAdded: lambda e, a, _: f"{a} added experiment {e.proposal_id}, {e.details.title}",
    experiment.ExperimentChanged: lambda e, a, n: f"{a} changed what is said of {n.experiment(e.experiment_id)}",
    experiment.ExperimentRemoved: lambda e, a, n: (
        f"{a} removed experiment {n.experiment(e.experiment_id)} with its sessions and memberships"
    ),
    experiment.SessionAdded: lambda e, a, n: (
        f"{a} added session {e.session.session_number} to {n.experiment(e.experiment_id)}"
    ),
    experiment.SessionChanged: lambda e, a, n: (
        f"{a} changed session {e.session.session_number} of {n.experiment(e.experiment_id)}"
    ),
    experiment.MemberAdded: _member,
    experiment.MemberRemoved: lambda e, a, n: (
        f"{a} ended the membership of {n.user(e.user_id)} in {n.experiment(e.experiment_id)}"
    ),
    image.ImageAdded: lambda e, a, _: f"{a} put image {e.name} ({e.spec.reference}) into the catalogue",
    image.ImageChanged: lambda e, a, n: f"{a} changed image {n.image(e.image_id)}, now {e.spec.reference}",
    image.ImageWithdrawn: lambda e, a, n: f"{a} took image {n.image(e.image_id)} out of the catalogue",
    quota.QuotaAssigned: lambda e, a, n: f"{a} set the limits of {n.user(e.user_id)} to {_limits(e.limits)}",
    quota.QuotaReserved: lambda e, _, n: (
        f"{_container(e.container_id)} took {_resources(e.resources)} of the quota of {n.user(e.user_id)}"
    ),
    quota.QuotaReleased: lambda e, _, n: (
        f"{_container(e.container_id)} gave back its part of the quota of {n.user(e.user_id)}"
    ),
    refusals.ContainerRequestRefused: _refused,
    target.OrphanRemoved: lambda e, a, _: f"{a} removed what was left of {_container(e.container_id)}: {e.reason}",
    target.TargetCordoned: lambda e, a, _: f"{a} closed target {e.name} for new containers: {e.reason}",
    target.TargetOpened: lambda e, a, _: f"{a} opened target {e.name} for new containers",
    user.UserNameClaimed: lambda e, _, n: f"A user name was given to {n.user(e.user_id)}",
    user.UserNameReleased: lambda e, a, _: f"{a} let the name of the erased account {e.user_id} be taken again",
    user.IdentityClaimed: lambda e, _, n: f"An identity elsewhere was given to {n.user(e.user_id)}",
    user.IdentityReleased: lambda e, _, n: f"An identity elsewhere was taken from {n.user(e.user_id)}",
    user.UserRegistered: lambda e, a, n: f"{a} opened the account of {n.user(e.user_id)}",
    user.IdentityLinked: lambda e, a, n: f"{a} let {e.subject} of {e.issuer} sign in as {n.user(e.user_id)}",
    user.IdentityUnlinked: lambda e, a, n: f"{a} let {e.subject} of {e.issuer} sign in as {n.user(e.user_id)} no more",
    user.RoleGranted: lambda e, a, n: f"{a} made {n.user(e.user_id)} an {e.role}",
    user.RoleRevoked: lambda e, a, n: f"{a} took the role of an {e.role} from {n.user(e.user_id)}",
    user.UserLoggedIn: lambda e, _, n: f"{n.user(e.user_id)} signed in ({e.method})",
    user.UserErased: lambda e, a, _: f"{a} erased the personal data of account {e.user_id}",
    user.ExperimentMarkedFavorite: lambda e, _, n: (
        f"{n.user(e.user_id)} marked experiment {n.experiment(e.experiment_id)}"
    ),
    user.ExperimentUnmarkedFavorite: lambda e, _, n: (
        f"{n.user(e.user_id)} took the mark from experiment {n.experiment(e.experiment_id)}"
    ),
    Unreadable: _unreadable,
}
