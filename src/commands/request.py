"""The request for a container: the one decision that looks at quota, catalogue, experiment and user together."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from calipso.commands import volumes
from calipso.commands.handling import CONTAINER, EXPERIMENT, IMAGE, QUOTA, TARGET, USER, Circumstances, Reader, handles
from calipso.commands.policy import Policy
from calipso.errors import (
    AlreadyExists,
    AlreadyLaunched,
    NotAMember,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    Refused,
    Unavailable,
)
from calipso.events.container import ContainerRequested
from calipso.events.envelope import Event
from calipso.events.experiment import Experiment, SessionDetails
from calipso.events.image import Image
from calipso.events.naming import quota_stream
from calipso.events.quota import Quota, QuotaReserved
from calipso.events.refusals import ContainerRequestRefused, RefusalReason
from calipso.events.user import User
from calipso.events.values import Identity, Limits, SessionRef, Volume


@dataclass(frozen=True, kw_only=True)
class SessionWanted:
    """The session whose data is asked for; `experiment_id` is the keyed hash of the proposal id."""

    experiment_id: UUID
    proposal_id: str
    session_number: str


@dataclass(frozen=True, kw_only=True)
class TargetOffered:
    """A target that the settings name, with its stream."""

    target_id: UUID
    name: str


@dataclass(frozen=True, kw_only=True)
class NumericAccount:
    """What the facility's directory has for a user."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class RequestContainer:
    """A user wants a container of an image, beside a session's data or for themselves (`session` None).

    `container_id` is fixed before the first attempt; `label` is what the request calls it (unique among the user's
    active containers) and `info` what the answer shows beside it; `targets` are all targets of the facility.
    `account` is what the facility's directory has for the user, None when it has nothing.
    """

    container_id: UUID
    user_id: UUID
    image_id: UUID
    image_name: str
    label: str
    info: str
    session: SessionWanted | None = None
    targets: tuple[TargetOffered, ...] = ()
    account: NumericAccount | None = None


@dataclass(frozen=True, kw_only=True)
class Situation:
    """All that the decision on a request depends on; `cordoned` are targets that take no new containers."""

    user: User | None
    image: Image | None
    experiment: Experiment | None
    quota: Quota
    cordoned: frozenset[str] = frozenset()


@handles(RequestContainer)
def handle(command: RequestContainer, read: Reader, circumstances: Circumstances) -> Sequence[Event]:
    """Load what the decision depends on, and decide.

    Raises:
        AlreadyExists: the container's id is taken.
    """
    if read(CONTAINER, command.container_id) is not None:
        raise AlreadyExists("container", str(command.container_id))
    situation = Situation(
        user=read(USER, command.user_id),
        image=read(IMAGE, command.image_id),
        experiment=read(EXPERIMENT, command.session.experiment_id) if command.session else None,
        quota=read(QUOTA, quota_stream(command.user_id)),
        cordoned=frozenset(t.name for t in command.targets if read(TARGET, t.target_id).cordoned),
    )
    return decide(command, situation, circumstances)


def decide(command: RequestContainer, situation: Situation, circumstances: Circumstances) -> Sequence[Event]:
    """Grant the request, or refuse it with an event that holds the inputs of the decision.

    Raises:
        NotFound: the image, the session or the user does not exist.
        NotPermitted: no lawful numeric account is known for the container.
        Invalid: the session's volumes leave the facility's roots.
        Unavailable: no target of the image's runtime takes containers.
    """
    if situation.image is None:
        raise NotFound("image", command.image_name)
    if situation.user is None or situation.user.erased:
        raise NotFound("user", str(command.user_id))
    session = _session(command, situation.experiment)
    limits = situation.quota.limits or circumstances.policy.limits
    if reason := _refusal(command, situation, situation.image, limits):
        return [_refused(command, situation, situation.image, limits, reason)]
    request = _granted(command, situation, situation.image, session, circumstances)
    reserved = QuotaReserved(
        user_id=command.user_id,
        container_id=command.container_id,
        label=_unique_label(command),
        resources=request.resources,
        limits=limits,
    )
    return [reserved, request]


def refusal_error(refusal: ContainerRequestRefused) -> Refused:
    """The error that tells the user of a stored refusal."""
    match refusal.reason:
        case RefusalReason.NOT_A_MEMBER:
            return NotAMember(refusal.info)
        case RefusalReason.ALREADY_LAUNCHED:
            return AlreadyLaunched()
        case resource:
            return QuotaExceeded(resource.value)


def _session(command: RequestContainer, experiment: Experiment | None) -> SessionDetails | None:
    if command.session is None:
        return None
    number = command.session.session_number
    if experiment is None or number not in experiment.sessions:
        raise NotFound("session", f"{command.session.proposal_id}~{number}")
    return experiment.sessions[number]


def _unique_label(command: RequestContainer) -> str:
    wanted = command.session
    return f"{wanted.proposal_id}~{wanted.session_number}" if wanted else command.label


def _refusal(command: RequestContainer, situation: Situation, image: Image, limits: Limits) -> RefusalReason | None:
    """The first rule that the request breaks, in the order of the contract."""
    held = situation.quota.reservations.values()
    wanted = situation.quota.used() + image.spec.resources
    rules = (
        (
            RefusalReason.NOT_A_MEMBER,
            situation.experiment is not None and command.user_id not in situation.experiment.members,
        ),
        (RefusalReason.ALREADY_LAUNCHED, any(r.label == _unique_label(command) for r in held)),
        (RefusalReason.MACHINES, len(held) + 1 > limits.containers),
        (RefusalReason.CPUS, wanted.millicores > limits.resources.millicores),
        (RefusalReason.MEMORY, wanted.memory > limits.resources.memory),
        (RefusalReason.HDD, wanted.disk > limits.resources.disk),
    )
    return next((reason for reason, broken in rules if broken), None)


def _refused(
    command: RequestContainer, situation: Situation, image: Image, limits: Limits, reason: RefusalReason
) -> ContainerRequestRefused:
    return ContainerRequestRefused(
        user_id=command.user_id,
        image_name=image.name,
        label=command.label,
        info=command.info,
        reason=reason,
        requested=image.spec.resources,
        used_containers=len(situation.quota.reservations),
        used=situation.quota.used(),
        limits=limits,
        experiment_id=command.session.experiment_id if command.session else None,
    )


def _granted(
    command: RequestContainer,
    situation: Situation,
    image: Image,
    session: SessionDetails | None,
    circumstances: Circumstances,
) -> ContainerRequested:
    policy = circumstances.policy
    own = _volumes(situation, session, policy)
    return ContainerRequested(
        container_id=command.container_id,
        user_id=command.user_id,
        target=_target(command, situation, image, policy),
        image_id=image.image_id,
        image_name=image.name,
        image=image.spec,
        resources=image.spec.resources,
        label=command.label,
        info=command.info,
        session=_session_ref(command, situation.experiment),
        identity=_identity(command, situation, policy),
        volumes=(*own, *_common_volumes(situation, policy)),
        workdir=volumes.working_folder(own),
        account=situation.user.name if situation.user else "",
        key_number=policy.key_number,
        deadline=circumstances.now + policy.run_limit,
    )


def _volumes(situation: Situation, session: SessionDetails | None, policy: Policy) -> tuple[Volume, ...]:
    if session is not None:
        return volumes.session_volumes(session, policy)
    return volumes.own_volumes(situation.user.name, policy) if situation.user else ()


def _common_volumes(situation: Situation, policy: Policy) -> tuple[Volume, ...]:
    return volumes.common_volumes(situation.user.name, policy) if situation.user else ()


def _session_ref(command: RequestContainer, experiment: Experiment | None) -> SessionRef | None:
    if command.session is None or experiment is None:
        return None
    return SessionRef(
        experiment_id=experiment.experiment_id,
        proposal_id=experiment.proposal_id,
        session_number=command.session.session_number,
        membership_id=experiment.members[command.user_id],
    )


def _identity(command: RequestContainer, situation: Situation, policy: Policy) -> Identity:
    """The experiment's account, else the user's, else that of the directory, else the facility's; never root."""
    details, user = situation.experiment.details if situation.experiment else None, situation.user
    uids = (user.uid if user else None, command.account.uid if command.account else None)
    gids = (user.gid if user else None, command.account.gid if command.account else None)
    uid = _first(details.uid if details else None, *(uids if policy.uses_user_uid else ()), policy.uid)
    gid = _first(details.gid if details else None, *(gids if policy.uses_user_gid else ()), policy.gid)
    if uid < 1 or gid < 1:
        raise NotPermitted(f"the numeric account {uid}:{gid} may not run a container")
    return Identity(uid=uid, gid=gid, groups=policy.groups)


def _first(*numbers: int | None) -> int:
    return next((number for number in numbers if number is not None), 0)


def _target(command: RequestContainer, situation: Situation, image: Image, policy: Policy) -> str:
    """Spread containers over the open targets of the image's runtime by their random id."""
    named = policy.targets.get(image.spec.runtime, ())
    allowed = [n for n in named if (not image.spec.targets or n in image.spec.targets) and n not in situation.cordoned]
    if not allowed:
        raise Unavailable(f"a target of runtime {image.spec.runtime}", "none is configured and open for this image")
    return allowed[command.container_id.int % len(allowed)]
