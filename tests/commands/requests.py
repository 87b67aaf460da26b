"""The requests of the scenarios, and what follows when they are granted or refused."""

from dataclasses import replace
from uuid import UUID

from tests.commands.scenario import (
    ADA,
    ADA_MEMBER,
    ADA_REGISTERED,
    DESKTOP,
    DESKTOP_ADDED,
    LIMITS,
    MEMBERSHIP,
    NAMING,
    NOW,
    P1,
    P1_ADDED,
    POLICY,
    S1_ADDED,
    SMALL,
    SPEC,
    given,
)

from calipso.commands.request import RequestContainer, SessionWanted, TargetOffered
from calipso.events.container import ContainerRequested
from calipso.events.quota import QuotaReserved
from calipso.events.refusals import ContainerRequestRefused, RefusalReason
from calipso.events.values import Identity, Limits, Mode, Resources, SessionRef, Volume

ID = UUID(int=2)  # even, so that it goes to the first of two targets
TARGETS = tuple(TargetOffered(target_id=NAMING.target(name), name=name) for name in ("docker-a", "docker-b", "links"))

ask_own = RequestContainer(
    container_id=ID,
    user_id=ADA,
    image_id=DESKTOP,
    image_name="desktop",
    label="k3x9q",
    info="k3x9q",
    targets=TARGETS,
)
wanted = SessionWanted(experiment_id=P1, proposal_id="P1", session_number="S1")
ask = replace(ask_own, label="S1", info="P1", session=wanted)

KNOWN = given(ADA_REGISTERED, DESKTOP_ADDED, P1_ADDED, S1_ADDED, ADA_MEMBER)
GRANTED = ContainerRequested(
    container_id=ID,
    user_id=ADA,
    target="docker-a",
    image_id=DESKTOP,
    image_name="desktop",
    image=SPEC,
    resources=SMALL,
    label="S1",
    info="P1",
    session=SessionRef(experiment_id=P1, proposal_id="P1", session_number="S1", membership_id=MEMBERSHIP),
    identity=Identity(uid=2000, gid=2001, groups=(100, 44)),
    volumes=(
        Volume(source="/output/P1", bind="/output/P1", mode=Mode.READ_WRITE),
        Volume(source="/datasets/P1", bind="/datasets/P1/raw", mode=Mode.READ_ONLY),
    ),
    workdir="/output/P1",
    account="ada",
    key_number=3,
    deadline=NOW + POLICY.run_limit,
)
GRANTED_OWN = replace(
    GRANTED,
    label="k3x9q",
    info="k3x9q",
    session=None,
    volumes=(
        Volume(source="/output/ada", bind="/output/ada", mode=Mode.READ_WRITE),
        Volume(source="/datasets/ada", bind="/datasets/ada", mode=Mode.READ_ONLY),
    ),
    workdir="/output/ada",
    account="ada",
)


def held(number: int, label: str, resources: Resources = SMALL) -> QuotaReserved:
    return QuotaReserved(
        user_id=ADA, container_id=UUID(int=100 + number), label=label, resources=resources, limits=LIMITS
    )


def reservation(label: str, limits: Limits = LIMITS, resources: Resources = SMALL) -> QuotaReserved:
    return QuotaReserved(user_id=ADA, container_id=ID, label=label, resources=resources, limits=limits)


def refused(reason: RefusalReason, *reservations: QuotaReserved, limits: Limits = LIMITS) -> ContainerRequestRefused:
    return ContainerRequestRefused(
        user_id=ADA,
        image_name="desktop",
        label="S1",
        info="P1",
        reason=reason,
        requested=SMALL,
        used_containers=len(reservations),
        used=sum((r.resources for r in reservations), Resources()),
        limits=limits,
        experiment_id=P1,
    )
