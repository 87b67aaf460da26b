"""States as their events tell them, whatever comes in whatever order."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.events.samples import CONTAINER, EXPERIMENT, IMAGE, LINK, NAMING, SAMPLES, SPEC, USER

from calipso.events import container, experiment, image, quota, target, user
from calipso.events.envelope import Event
from calipso.events.naming import Naming, container_name, quota_stream, refusals_stream

Evolve = Callable[[Any, Event], Any]

FOLDS: dict[str, tuple[Any, Evolve]] = {
    "container": (None, container.evolve),
    "experiment": (None, experiment.evolve),
    "image": (None, image.evolve),
    "quota": (quota.Quota(), quota.evolve),
    "target": (target.Target(), target.evolve),
    "user": (None, user.evolve),
    "user_name": (None, user.evolve_claim),
}
EVENTS = list(SAMPLES.values())


def fold(kind: str, events: list[Event]) -> Any:  # noqa: ANN401 - any state
    state, evolve = FOLDS[kind]
    for event in events:
        state = evolve(state, event)
    return state


def named(*names: str) -> list[Any]:
    return [next(event for event in EVENTS if type(event).__name__ == name) for name in names]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(FOLDS)), st.lists(st.sampled_from(EVENTS), max_size=30))
def test_no_event_in_no_state_is_an_error_and_folding_is_deterministic(kind: str, events: list[Event]) -> None:
    assert fold(kind, events) == fold(kind, list(events))


@pytest.mark.parametrize("kind", FOLDS)
def test_events_of_other_streams_change_nothing(kind: str) -> None:
    own = [event for event in EVENTS if event.kind == kind]
    state = fold(kind, own)
    assert fold(kind, [*own, *(event for event in EVENTS if event.kind != kind)]) == state


def test_nothing_is_before_it_was_made() -> None:
    makers = {"ContainerRequested", "ExperimentAdded", "ImageAdded", "UserRegistered", "UserNameClaimed"}
    later = [event for event in EVENTS if type(event).__name__ not in makers]
    assert all(fold(kind, later) is None for kind, (initial, _) in FOLDS.items() if initial is None)


@pytest.mark.parametrize(
    ("names", "state"),
    [
        ([], "requested"),
        (["ContainerStarting"], "starting"),
        (["ContainerStarting", "ContainerAdopted"], "starting"),
        (["ContainerStarting", "ContainerStarted"], "running"),
        (["ContainerStarting", "ContainerFailed"], "failed"),
        (["ContainerStarted", "ContainerStopRequested"], "stopping"),
        (["ContainerStarted", "ContainerRemovalRequested"], "stopping"),
        (["ContainerStarted", "ContainerStopped"], "stopped"),
        (["ContainerStopped", "ContainerRemovalRequested"], "stopped"),
        (["ContainerStopped", "ContainerRemoved"], "removed"),
        (["ContainerStarted", "ContainerLost"], "lost"),
    ],
)
def test_the_life_of_a_container(names: list[str], state: str) -> None:
    found = fold("container", named("ContainerRequested", *names))
    assert found.state == state
    assert found.is_active is (state in {"requested", "starting", "running", "stopping"})
    assert found.removal_requested is ("ContainerRemovalRequested" in names)


def test_what_a_container_remembers() -> None:
    found = fold("container", named("ContainerRequested", "ContainerStarting", "ContainerStarted", "ContainerFailed"))
    request, starting, started, failed = named(
        "ContainerRequested", "ContainerStarting", "ContainerStarted", "ContainerFailed"
    )
    assert found == container.Container(
        request=request,
        state=container.State.FAILED,
        claimant=starting.claimant,
        lease=starting.lease,
        placement=started.placement,
        image_digest=started.image_digest,
        failure=failed,
    )


def test_an_experiment_with_sessions_and_members() -> None:
    added, session, member = named("ExperimentAdded", "SessionAdded", "MemberAdded")
    found = fold("experiment", [added, session, member])
    assert (found.proposal_id, found.details) == ("P2025-17", added.details)
    assert (found.sessions, found.members) == ({"S1": session.session}, {USER: member.membership_id})
    changed = fold("experiment", [added, session, member, *named("SessionChanged", "ExperimentChanged")])
    assert changed.sessions["S1"].subject == ""
    assert changed.details.title == "Ice"
    assert not fold("experiment", [added, member, *named("MemberRemoved")]).members
    assert fold("experiment", [added, *named("ExperimentRemoved")]) is None


def test_an_image() -> None:
    added = image.Image(image_id=IMAGE, name="desktop", spec=SPEC)
    assert fold("image", named("ImageAdded")) == added
    assert fold("image", named("ImageAdded", "ImageChanged")) == image.Image(image_id=IMAGE, name="desktop", spec=LINK)
    assert fold("image", named("ImageAdded", "ImageWithdrawn")) is None


def test_an_account() -> None:
    registered = fold("user", named("UserRegistered"))
    assert (registered.name, registered.uid, registered.erased) == ("ada.müller", 1000, False)
    full = fold("user", named("UserRegistered", "RoleGranted", "ExperimentMarkedFavorite"))
    assert (full.roles, full.favorites) == ({user.Role.ADMINISTRATOR}, {EXPERIMENT})
    unmarked = fold("user", named("UserRegistered", "ExperimentMarkedFavorite", "ExperimentUnmarkedFavorite"))
    assert not unmarked.favorites
    assert fold("user", named("UserRegistered", "UserErased")).erased
    assert fold("user_name", named("UserNameClaimed")) == USER


def test_a_target() -> None:
    assert fold("target", named("TargetCordoned", "OrphanRemoved")).cordoned
    assert not fold("target", named("TargetCordoned", "TargetOpened")).cordoned


def test_every_event_has_a_stream_of_its_own_kind() -> None:
    streams: dict[UUID, set[str]] = {}
    for event in EVENTS:
        streams.setdefault(event.stream, set()).add(event.kind)
    assert all(len(kinds) == 1 for kinds in streams.values())
    assert streams[CONTAINER] == {"container"}
    assert {quota_stream(USER), refusals_stream(USER), USER} < streams.keys()


def test_the_keys_of_streams_never_change() -> None:
    # an installation finds its streams by them
    assert str(quota_stream(USER)) == "6bf23f08-fda3-5429-85c0-aecb86b1fa5e"
    assert str(refusals_stream(USER)) == "50dd800b-5d4d-5fe8-a74b-6897580143db"
    assert str(NAMING.image("desktop")) == "d229a2a7-5cf5-5f86-ac9a-5e4f74b62e96"
    assert str(NAMING.experiment("P2025-17")) == "284e86f3-ec12-5526-94c0-7d2d2a3b4da5"


def test_names_of_different_kinds_and_installations_are_different_streams() -> None:
    other = Naming(b"another installation")
    keys = [
        make(naming, "x") for naming in (NAMING, other) for make in (Naming.image, Naming.experiment, Naming.target)
    ]
    assert len(set(keys)) == 6


def test_the_name_of_a_container_is_a_dns_label() -> None:
    name = container_name(uuid4())
    assert len(name) <= 63
    assert name.replace("-", "").isalnum()
    assert name == name.lower()
    assert container_name(CONTAINER) == "calipso-22222222222242228222222222222222"
