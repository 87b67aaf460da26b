"""Lawful events with defaults for what a test does not care about, and a store's view of them."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from calipso.events import container, experiment, image, quota, user
from calipso.events.container import ContainerRequested
from calipso.events.envelope import Event, Recorded
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.events.naming import Naming
from calipso.events.user import Role
from calipso.events.values import (
    FailureReason,
    Identity,
    ImageSpec,
    Limits,
    Mode,
    Placement,
    Protocol,
    Resources,
    Runtime,
    SessionRef,
    Volume,
)

GIB = 2**30
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMING = Naming(b"the naming key of the builders")
SMALL = Resources(millicores=1000, memory=2 * GIB, disk=GIB)


def uuid_of(word: str) -> UUID:
    """The same uuid for the same word."""
    return uuid5(NAMESPACE_URL, word)


ADA = uuid_of("user ada")


class History:
    """Records events as a store would: positions and times rise by one, versions by stream."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []
        self._versions: Counter[UUID] = Counter()

    def record(self, *events: Event) -> Sequence[Recorded]:
        """What a store would keep of these events, after those of earlier calls."""
        first = len(self.events)
        for event in events:
            self.events.append(self._recorded(event))
        return self.events[first:]

    def _recorded(self, event: Event) -> Recorded:
        position = len(self.events) + 1
        self._versions[event.stream] += 1
        return Recorded(
            id=uuid_of(f"event {position}"),
            stream=event.stream,
            version=self._versions[event.stream],
            position=position,
            time=BEGIN + timedelta(seconds=position),
            actor="service:test",
            correlation_id=uuid_of("correlation"),
            causation_id=uuid_of("causation"),
            event=event,
        )


def record(*events: Event) -> Sequence[Recorded]:
    """What an empty store would keep of these events: positions 1, 2, ..., a second between them."""
    return History().record(*events)


def user_registered(
    user_id: UUID = ADA, name: str = "ada", uid: int | None = 1000, gid: int | None = 1000
) -> user.UserRegistered:
    return user.UserRegistered(user_id=user_id, name=name, uid=uid, gid=gid)


def role_granted(user_id: UUID = ADA, role: Role = Role.ADMINISTRATOR) -> user.RoleGranted:
    return user.RoleGranted(user_id=user_id, role=role)


def role_revoked(user_id: UUID = ADA, role: Role = Role.ADMINISTRATOR) -> user.RoleRevoked:
    return user.RoleRevoked(user_id=user_id, role=role)


def user_logged_in(user_id: UUID = ADA, method: str = "local") -> user.UserLoggedIn:
    return user.UserLoggedIn(user_id=user_id, method=method)


def user_erased(user_id: UUID = ADA) -> user.UserErased:
    return user.UserErased(user_id=user_id)


def marked_favorite(user_id: UUID = ADA, proposal_id: str = "P1") -> user.ExperimentMarkedFavorite:
    return user.ExperimentMarkedFavorite(user_id=user_id, experiment_id=NAMING.experiment(proposal_id))


def unmarked_favorite(user_id: UUID = ADA, proposal_id: str = "P1") -> user.ExperimentUnmarkedFavorite:
    return user.ExperimentUnmarkedFavorite(user_id=user_id, experiment_id=NAMING.experiment(proposal_id))


def image_spec(**changes: object) -> ImageSpec:
    """A desktop of a Docker target, but for the fields that are given."""
    fields: dict[str, Any] = {
        "reference": "desktop:12",
        "runtime": Runtime.DOCKER,
        "protocol": Protocol.VNC,
        "resources": SMALL,
    }
    fields.update(changes)
    return ImageSpec(**fields)


def image_added(name: str = "desktop", **spec: object) -> image.ImageAdded:
    return image.ImageAdded(image_id=NAMING.image(name), name=name, spec=image_spec(**spec))


def image_changed(name: str = "desktop", **spec: object) -> image.ImageChanged:
    return image.ImageChanged(image_id=NAMING.image(name), spec=image_spec(**spec))


def image_withdrawn(name: str = "desktop") -> image.ImageWithdrawn:
    return image.ImageWithdrawn(image_id=NAMING.image(name))


def limits(containers: int = 5, resources: Resources | None = None) -> Limits:
    return Limits(
        containers=containers,
        resources=resources or Resources(millicores=10_000, memory=30 * GIB, disk=80 * GIB),
    )


def quota_assigned(user_id: UUID = ADA, containers: int = 5) -> quota.QuotaAssigned:
    return quota.QuotaAssigned(user_id=user_id, limits=limits(containers))


def quota_reserved(
    container_id: UUID, user_id: UUID = ADA, *, label: str = "", resources: Resources = SMALL
) -> quota.QuotaReserved:
    return quota.QuotaReserved(
        user_id=user_id,
        container_id=container_id,
        label=label or container_id.hex,
        resources=resources,
        limits=limits(),
    )


def quota_released(container_id: UUID, user_id: UUID = ADA) -> quota.QuotaReleased:
    return quota.QuotaReleased(user_id=user_id, container_id=container_id)


def details(**changes: object) -> ExperimentDetails:
    """The details of an experiment, but for the fields that are given."""
    fields: dict[str, Any] = {"title": "Ice", "description": "Cold", "beam_line": "BL13", "uid": 5001, "gid": 500}
    fields.update(changes)
    return ExperimentDetails(**fields)


def experiment_added(proposal_id: str = "P1", **changes: object) -> experiment.ExperimentAdded:
    return experiment.ExperimentAdded(
        experiment_id=NAMING.experiment(proposal_id), proposal_id=proposal_id, details=details(**changes)
    )


def experiment_changed(proposal_id: str = "P1", **changes: object) -> experiment.ExperimentChanged:
    return experiment.ExperimentChanged(experiment_id=NAMING.experiment(proposal_id), details=details(**changes))


def experiment_removed(proposal_id: str = "P1") -> experiment.ExperimentRemoved:
    return experiment.ExperimentRemoved(experiment_id=NAMING.experiment(proposal_id))


def session_details(session_number: str = "S1", **changes: object) -> SessionDetails:
    """The details of a session, but for the fields that are given."""
    fields: dict[str, Any] = {
        "start": BEGIN,
        "end": BEGIN + timedelta(days=3),
        "subject": "First visit",
        "body": "Bring the cryostat",
        "volumes": (Volume(source="/data/P1", bind="/P1", mode=Mode.READ_ONLY),),
    }
    fields.update(changes)
    return SessionDetails(session_number=session_number, **fields)


def session_added(proposal_id: str = "P1", session_number: str = "S1", **changes: object) -> experiment.SessionAdded:
    return experiment.SessionAdded(
        experiment_id=NAMING.experiment(proposal_id), session=session_details(session_number, **changes)
    )


def session_changed(
    proposal_id: str = "P1", session_number: str = "S1", **changes: object
) -> experiment.SessionChanged:
    return experiment.SessionChanged(
        experiment_id=NAMING.experiment(proposal_id), session=session_details(session_number, **changes)
    )


def member_added(proposal_id: str = "P1", user_id: UUID = ADA) -> experiment.MemberAdded:
    return experiment.MemberAdded(
        experiment_id=NAMING.experiment(proposal_id),
        user_id=user_id,
        membership_id=uuid_of(f"membership {proposal_id} {user_id}"),
    )


def member_removed(proposal_id: str = "P1", user_id: UUID = ADA) -> experiment.MemberRemoved:
    return experiment.MemberRemoved(experiment_id=NAMING.experiment(proposal_id), user_id=user_id)


def container_requested(container_id: UUID, user_id: UUID = ADA, **changes: object) -> ContainerRequested:
    """The request of an own desktop on target `docker-a`, but for the fields that are given."""
    fields: dict[str, Any] = {
        "target": "docker-a",
        "image_id": NAMING.image("desktop"),
        "image_name": "desktop",
        "image": image_spec(),
        "resources": SMALL,
        "label": container_id.hex[:5],
        "info": container_id.hex[:5],
        "session": None,
        "identity": Identity(uid=1000, gid=1000),
        "volumes": (),
        "workdir": "",
        "key_number": 1,
        "deadline": BEGIN + timedelta(minutes=4),
    }
    fields.update(changes)
    return ContainerRequested(container_id=container_id, user_id=user_id, **fields)


def session_ref(proposal_id: str = "P1", session_number: str = "S1", user_id: UUID = ADA) -> SessionRef:
    return SessionRef(
        experiment_id=NAMING.experiment(proposal_id),
        proposal_id=proposal_id,
        session_number=session_number,
        membership_id=member_added(proposal_id, user_id).membership_id,
    )


PLACEMENT = Placement(runtime_id="9f86d081884c", name="calipso-9f86", host="172.17.0.2", port=5901)


def starting(request: ContainerRequested, claimant: str = "docker-a/0") -> container.ContainerStarting:
    return container.ContainerStarting(**_of(request), claimant=claimant, lease=request.deadline)


def adopted(request: ContainerRequested, claimant: str = "docker-a/1") -> container.ContainerAdopted:
    return container.ContainerAdopted(
        **_of(request), claimant=claimant, lease=request.deadline, reason="its claimant is dead"
    )


def started(request: ContainerRequested, placement: Placement = PLACEMENT) -> container.ContainerStarted:
    return container.ContainerStarted(**_of(request), placement=placement, image_digest="sha256:9f86")


def failed(
    request: ContainerRequested, reason: FailureReason = FailureReason.CRASHED, detail: str = "exit code 1"
) -> container.ContainerFailed:
    return container.ContainerFailed(**_of(request), reason=reason, detail=detail, log=("the last line",))


def stop_requested(request: ContainerRequested) -> container.ContainerStopRequested:
    return container.ContainerStopRequested(**_of(request))


def stopped(request: ContainerRequested) -> container.ContainerStopped:
    return container.ContainerStopped(**_of(request), reason="stopped on request")


def removal_requested(request: ContainerRequested) -> container.ContainerRemovalRequested:
    return container.ContainerRemovalRequested(**_of(request))


def removed(request: ContainerRequested) -> container.ContainerRemoved:
    return container.ContainerRemoved(**_of(request))


def lost(request: ContainerRequested) -> container.ContainerLost:
    return container.ContainerLost(**_of(request), reason="absent in two listings")


def _of(request: ContainerRequested) -> dict[str, Any]:
    return {"container_id": request.container_id, "user_id": request.user_id, "target": request.target}
