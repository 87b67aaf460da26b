"""One event for each golden file; the key is the file's name without its ending.

A file is named `<topic>.v<schema version>`, with `-<word>` behind it for a second event of the same version.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from calipso.events import audit, container, experiment, image, quota, refusals, target, user
from calipso.events.envelope import Event
from calipso.events.naming import Naming
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

NAMING = Naming(b"the naming key of the samples")
USER = UUID("11111111-1111-4111-8111-111111111111")
READER = UUID("44444444-4444-4444-8444-444444444444")
CONTAINER = UUID("22222222-2222-4222-8222-222222222222")
MEMBERSHIP = UUID("33333333-3333-4333-8333-333333333333")
EXPERIMENT = NAMING.experiment("P2025-17")
IMAGE = NAMING.image("desktop")
TARGET = NAMING.target("docker-a")
DEADLINE = datetime(2026, 3, 1, 12, 5, tzinfo=UTC)
GIB = 1 << 30

RESOURCES = Resources(millicores=2500, memory=3 * GIB, disk=20 * GIB)
LIMITS = Limits(containers=5, resources=Resources(millicores=10_000, memory=30 * GIB, disk=80 * GIB))
SPEC = ImageSpec(
    reference="desktop:12",
    runtime=Runtime.DOCKER,
    protocol=Protocol.VNC,
    resources=RESOURCES,
    port_hook="5901/tcp",
    logs_er="desktop is ready",
    targets=("docker-a", "docker-b"),
)
LINK = ImageSpec(
    reference="https://wiki.example/",
    runtime=Runtime.STATIC_LINK,
    protocol=Protocol.NONE,
    resources=Resources(),
)
VOLUMES = (
    Volume(source="/output/P2025-17", bind="/output/P2025-17", mode=Mode.READ_WRITE),
    Volume(source="/datasets/P2025-17", bind="/datasets/raw", mode=Mode.READ_ONLY),
)
PLACEMENT = Placement(runtime_id="9f86d081884c", name="calipso-22", host="10.0.0.7", port=5901, link="http://h:8888/")
DETAILS = experiment.ExperimentDetails(
    title="Crystal structure of ice",
    description="Diffraction at 80 K",
    beam_line="BL13",
    uid=5001,
    gid=500,
)
SESSION = experiment.SessionDetails(
    session_number="S1",
    start=datetime(2026, 2, 1, 8, tzinfo=UTC),
    end=datetime(2026, 2, 3, 20, tzinfo=UTC),
    subject="First visit",
    body="Bring the cryostat",
    volumes=VOLUMES,
)
ON_TARGET: dict[str, Any] = {"container_id": CONTAINER, "user_id": USER, "target": "docker-a"}
CLAIM: dict[str, Any] = {"claimant": "docker-a/1", "lease": DEADLINE}
REQUEST = container.ContainerRequested(
    **ON_TARGET,
    image_id=IMAGE,
    image_name="desktop",
    image=SPEC,
    resources=RESOURCES,
    label="S1",
    info="P2025-17",
    session=SessionRef(experiment_id=EXPERIMENT, proposal_id="P2025-17", session_number="S1", membership_id=MEMBERSHIP),
    identity=Identity(uid=5001, gid=500, groups=(100,)),
    volumes=VOLUMES,
    workdir="/output/P2025-17",
    key_number=1,
    deadline=DEADLINE,
)
OWN_REQUEST = container.ContainerRequested(
    **ON_TARGET,
    image_id=NAMING.image("wiki"),
    image_name="wiki",
    image=LINK,
    resources=Resources(),
    label="k3x9q",
    info="k3x9q",
    session=None,
    identity=Identity(uid=1000, gid=1000),
    volumes=(),
    workdir="",
    key_number=2,
    deadline=DEADLINE,
)
RESERVED = quota.QuotaReserved(
    user_id=USER, container_id=CONTAINER, label="P2025-17~S1", resources=RESOURCES, limits=LIMITS
)
REFUSED = refusals.ContainerRequestRefused(
    user_id=USER,
    image_name="desktop",
    label="S1",
    info="P2025-17",
    reason=refusals.RefusalReason.MEMORY,
    requested=RESOURCES,
    used_containers=4,
    used=Resources(millicores=4000, memory=28 * GIB, disk=10 * GIB),
    limits=LIMITS,
)

SAMPLES: Mapping[str, Event] = {
    "calipso.audit.HistoryRead.v1": audit.HistoryRead(
        reader=READER, user_id=USER, what="events", asked={"kind": "container", "since": "2026-03-01T12:00:00Z"}
    ),
    "calipso.audit.HistoryRead.v1-operator": audit.HistoryRead(reader=None, user_id=None, what="usage", asked={}),
    "calipso.container.ContainerRequested.v1": REQUEST,
    "calipso.container.ContainerRequested.v1-own": OWN_REQUEST,
    "calipso.container.ContainerRequested.v1-account": replace(REQUEST, account="ada.müller"),
    "calipso.container.ContainerRequested.v2": replace(REQUEST, account="ada.müller"),
    "calipso.container.ContainerRequested.v2-own": OWN_REQUEST,
    "calipso.container.ContainerStarting.v1": container.ContainerStarting(**ON_TARGET, **CLAIM),
    "calipso.container.ContainerAdopted.v1": container.ContainerAdopted(
        **ON_TARGET, **CLAIM, reason="found on the target"
    ),
    "calipso.container.ContainerStarted.v1": container.ContainerStarted(
        **ON_TARGET, placement=PLACEMENT, image_digest="sha256:2c26b46b"
    ),
    "calipso.container.ContainerFailed.v1": container.ContainerFailed(
        **ON_TARGET, reason=FailureReason.CRASHED, detail="exit code 1", log=("starting", "no display")
    ),
    "calipso.container.ContainerFailed.v1-ended": container.ContainerFailed(
        **ON_TARGET, reason=FailureReason.ENDED, detail="the rack is gone", log=()
    ),
    "calipso.container.ContainerStopRequested.v1": container.ContainerStopRequested(**ON_TARGET),
    "calipso.container.ContainerStopRequested.v1-deadline": container.ContainerStopRequested(
        **ON_TARGET, deadline=DEADLINE
    ),
    "calipso.container.ContainerRemovalRequested.v1-deadline": container.ContainerRemovalRequested(
        **ON_TARGET, deadline=DEADLINE
    ),
    "calipso.container.ContainerStopped.v1": container.ContainerStopped(**ON_TARGET, reason="stopped on request"),
    "calipso.container.ContainerRemovalRequested.v1": container.ContainerRemovalRequested(**ON_TARGET),
    "calipso.container.ContainerRemoved.v1": container.ContainerRemoved(**ON_TARGET),
    "calipso.container.ContainerLost.v1": container.ContainerLost(**ON_TARGET, reason="absent in two listings"),
    "calipso.experiment.ExperimentAdded.v1": experiment.ExperimentAdded(
        experiment_id=EXPERIMENT, proposal_id="P2025-17", details=DETAILS
    ),
    "calipso.experiment.ExperimentChanged.v1": experiment.ExperimentChanged(
        experiment_id=EXPERIMENT,
        details=experiment.ExperimentDetails(title="Ice", description="", beam_line="BL13"),
    ),
    "calipso.experiment.ExperimentRemoved.v1": experiment.ExperimentRemoved(experiment_id=EXPERIMENT),
    "calipso.experiment.SessionAdded.v1": experiment.SessionAdded(experiment_id=EXPERIMENT, session=SESSION),
    "calipso.experiment.SessionChanged.v1": experiment.SessionChanged(
        experiment_id=EXPERIMENT,
        session=experiment.SessionDetails(session_number="S1", start=None, end=None, subject="", body="", volumes=()),
    ),
    "calipso.experiment.MemberAdded.v1": experiment.MemberAdded(
        experiment_id=EXPERIMENT, user_id=USER, membership_id=MEMBERSHIP
    ),
    "calipso.experiment.MemberAdded.v1-provided": experiment.MemberAdded(
        experiment_id=EXPERIMENT, user_id=USER, membership_id=MEMBERSHIP, source=experiment.PROVIDER
    ),
    "calipso.experiment.MemberRemoved.v1": experiment.MemberRemoved(experiment_id=EXPERIMENT, user_id=USER),
    "calipso.image.ImageAdded.v1": image.ImageAdded(image_id=IMAGE, name="desktop", spec=SPEC),
    "calipso.image.ImageAdded.v1-parameters": image.ImageAdded(
        image_id=IMAGE,
        name="desktop",
        spec=replace(
            SPEC,
            runtime=Runtime.KUBERNETES,
            parameters={"color-depth": "16", "cursor": "remote"},
            node_selector={"gpu": "yes"},
            tolerations=("gpu=yes:NoSchedule", "slow"),
        ),
    ),
    "calipso.image.ImageChanged.v1": image.ImageChanged(image_id=IMAGE, spec=LINK),
    "calipso.image.ImageWithdrawn.v1": image.ImageWithdrawn(image_id=IMAGE),
    "calipso.quota.QuotaAssigned.v1": quota.QuotaAssigned(user_id=USER, limits=LIMITS),
    "calipso.quota.QuotaReserved.v1": RESERVED,
    "calipso.quota.QuotaReserved.v2": RESERVED,
    "calipso.quota.QuotaReleased.v1": quota.QuotaReleased(user_id=USER, container_id=CONTAINER),
    "calipso.refusals.ContainerRequestRefused.v1": REFUSED,
    "calipso.refusals.ContainerRequestRefused.v2": REFUSED,
    "calipso.refusals.ContainerRequestRefused.v2-session": replace(
        REFUSED, reason=refusals.RefusalReason.NOT_A_MEMBER, experiment_id=EXPERIMENT
    ),
    "calipso.target.OrphanRemoved.v1": target.OrphanRemoved(
        target_id=TARGET, name="docker-a", container_id=CONTAINER, runtime_id="9f86d081884c", reason="has ended"
    ),
    "calipso.target.TargetCordoned.v1": target.TargetCordoned(target_id=TARGET, name="docker-a", reason="new disks"),
    "calipso.target.TargetOpened.v1": target.TargetOpened(target_id=TARGET, name="docker-a"),
    "calipso.user.UserRegistered.v1": user.UserRegistered(user_id=USER, name="ada.müller", uid=1000, gid=1000),
    "calipso.user.IdentityLinked.v1": user.IdentityLinked(
        user_id=USER, issuer="https://login.example/", subject="248289761001"
    ),
    "calipso.user.IdentityUnlinked.v1": user.IdentityUnlinked(
        user_id=USER, issuer="https://login.example/", subject="248289761001"
    ),
    "calipso.identity.IdentityClaimed.v1": user.IdentityClaimed(
        identity_id=NAMING.identity("https://login.example/", "248289761001"), user_id=USER
    ),
    "calipso.identity.IdentityReleased.v1": user.IdentityReleased(
        identity_id=NAMING.identity("https://login.example/", "248289761001"), user_id=USER
    ),
    "calipso.user.RoleGranted.v1": user.RoleGranted(user_id=USER, role=user.Role.ADMINISTRATOR),
    "calipso.user.RoleRevoked.v1": user.RoleRevoked(user_id=USER, role=user.Role.AUDITOR),
    "calipso.user.UserLoggedIn.v1": user.UserLoggedIn(user_id=USER, method="local"),
    "calipso.user.UserErased.v1": user.UserErased(user_id=USER),
    "calipso.user.ExperimentMarkedFavorite.v1": user.ExperimentMarkedFavorite(user_id=USER, experiment_id=EXPERIMENT),
    "calipso.user.ExperimentUnmarkedFavorite.v1": user.ExperimentUnmarkedFavorite(
        user_id=USER, experiment_id=EXPERIMENT
    ),
    "calipso.user_name.UserNameReleased.v1": user.UserNameReleased(
        name_id=NAMING.user_name("ada.müller"), user_id=USER
    ),
    "calipso.user_name.UserNameClaimed.v1": user.UserNameClaimed(name_id=NAMING.user_name("ada.müller"), user_id=USER),
}
