"""What a request for a container is granted: an account, folders, a target, a part of the quota."""

from dataclasses import replace
from uuid import UUID

import pytest
from tests.commands.requests import GRANTED, GRANTED_OWN, KNOWN, ask, ask_own, reservation
from tests.commands.scenario import (
    ADA_MEMBER,
    ADA_REGISTERED,
    DATA,
    DESKTOP,
    DESKTOP_ADDED,
    DETAILS,
    LINK,
    NAMING,
    NOW,
    OUTPUT,
    P1,
    P1_ADDED,
    POLICY,
    S1_ADDED,
    SESSION,
    SPEC,
    given,
)

from calipso.commands.request import NumericAccount
from calipso.errors import (
    Invalid,
    NotPermitted,
    Unavailable,
)
from calipso.events import experiment, image
from calipso.events.target import TargetCordoned, TargetOpened
from calipso.events.values import Identity, Mode, Resources, Runtime, Volume


def test_beside_the_data_of_a_session() -> None:
    KNOWN.when(ask).then(reservation("P1~S1"), GRANTED)


def test_of_the_users_own() -> None:
    given(ADA_REGISTERED, DESKTOP_ADDED).when(ask_own).then(reservation("k3x9q"), GRANTED_OWN)


@pytest.mark.parametrize(
    ("of_experiment", "of_user", "expected"),
    [
        ((5001, 500), (1000, 1001), (5001, 500)),
        ((None, None), (1000, 1001), (1000, 1001)),
        ((None, None), (None, None), (2000, 2001)),
        ((5001, None), (1000, 1001), (5001, 1001)),
        ((None, 500), (None, None), (2000, 500)),
    ],
)
def test_the_numeric_account(
    of_experiment: tuple[int | None, int | None], of_user: tuple[int | None, int | None], expected: tuple[int, int]
) -> None:
    details = replace(DETAILS, uid=of_experiment[0], gid=of_experiment[1])
    registered = replace(ADA_REGISTERED, uid=of_user[0], gid=of_user[1])
    history = given(registered, DESKTOP_ADDED, replace(P1_ADDED, details=details), S1_ADDED, ADA_MEMBER)
    identity = Identity(uid=expected[0], gid=expected[1], groups=(100, 44))
    history.when(ask).then(reservation("P1~S1"), replace(GRANTED, identity=identity))


def test_the_experiments_account_is_not_given_to_containers_without_it() -> None:
    history = KNOWN.and_then(experiment.ExperimentChanged(experiment_id=P1, details=replace(DETAILS, uid=5001)))
    history.when(ask_own).then(reservation("k3x9q"), GRANTED_OWN)


@pytest.mark.parametrize(("uid", "gid"), [(0, 0), (0, 5), (5, 0), (-1, 5)])
def test_nothing_runs_as_root(uid: int, gid: int) -> None:
    KNOWN.when(ask, policy=replace(POLICY, uid=uid, gid=gid)).then_raises(NotPermitted)
    registered = replace(ADA_REGISTERED, uid=uid, gid=gid)
    given(registered, DESKTOP_ADDED).when(ask_own).then_raises(NotPermitted)


@pytest.mark.parametrize(
    "volume",
    [
        Volume(source="/output/../etc", bind="/x", mode=Mode.READ_WRITE),
        Volume(source="/etc", bind="/x", mode=Mode.READ_ONLY),
        Volume(source="/datasets/P1", bind="/x", mode=Mode.READ_WRITE),
    ],
)
def test_a_session_whose_folders_are_not_lawful_any_more(volume: Volume) -> None:
    changed = experiment.SessionChanged(experiment_id=P1, session=replace(SESSION, volumes=(volume,)))
    KNOWN.and_then(changed).when(ask).then_raises(Invalid, field="data_set_path")


def test_a_session_that_only_reads_has_no_folder_to_work_in() -> None:
    changed = experiment.SessionChanged(experiment_id=P1, session=replace(SESSION, volumes=(DATA,)))
    granted = replace(GRANTED, volumes=GRANTED.volumes[1:], workdir="")
    KNOWN.and_then(changed).when(ask).then(reservation("P1~S1"), granted)
    assert OUTPUT in SESSION.volumes


def cordon(name: str) -> TargetCordoned:
    return TargetCordoned(target_id=NAMING.target(name), name=name, reason="new disks")


def test_containers_are_spread_over_the_targets_of_the_runtime() -> None:
    for number in (2, 3, 4, 5):
        outcome = KNOWN.when(replace(ask, container_id=UUID(int=number)))
        assert getattr(outcome.events[1], "target", None) == ("docker-a" if number % 2 == 0 else "docker-b")


def test_a_cordoned_target_takes_none() -> None:
    KNOWN.and_then(cordon("docker-a")).when(ask).then(reservation("P1~S1"), replace(GRANTED, target="docker-b"))
    opened = TargetOpened(target_id=NAMING.target("docker-a"), name="docker-a")
    KNOWN.and_then(cordon("docker-a"), opened).when(ask).then(reservation("P1~S1"), GRANTED)


def test_an_image_that_names_its_targets() -> None:
    only_b = image.ImageChanged(image_id=DESKTOP, spec=replace(SPEC, targets=("docker-b",)))
    granted = replace(GRANTED, image=only_b.spec, target="docker-b")
    KNOWN.and_then(only_b).when(ask).then(reservation("P1~S1"), granted)
    KNOWN.and_then(only_b, cordon("docker-b")).when(ask).then_raises(Unavailable)


def test_no_target_takes_it() -> None:
    KNOWN.and_then(cordon("docker-a"), cordon("docker-b")).when(ask).then_raises(Unavailable)
    KNOWN.when(ask, policy=replace(POLICY, targets={})).then_raises(
        Unavailable, part=f"a target of runtime {Runtime.DOCKER}"
    )


def test_a_link_takes_nothing_but_a_place() -> None:
    history = KNOWN.and_then(image.ImageChanged(image_id=DESKTOP, spec=LINK))
    granted = replace(GRANTED_OWN, image=LINK, resources=Resources(), target="links")
    history.when(ask_own).then(reservation("k3x9q", resources=Resources()), granted)


def test_it_must_be_usable_within_the_run_limit() -> None:
    later = NOW + POLICY.run_limit
    outcome = KNOWN.when(ask, now=later)
    outcome.then(reservation("P1~S1"), replace(GRANTED, deadline=later + POLICY.run_limit))


def test_the_directory_fills_in_what_neither_experiment_nor_account_names() -> None:
    asked = replace(ask, account=NumericAccount(uid=4711, gid=4712))
    for named, registered, expected in (
        (DETAILS, ADA_REGISTERED, (4711, 4712)),
        (DETAILS, replace(ADA_REGISTERED, uid=1000), (1000, 4712)),
        (replace(DETAILS, uid=500, gid=501), ADA_REGISTERED, (500, 501)),
    ):
        history = given(registered, DESKTOP_ADDED, replace(P1_ADDED, details=named), S1_ADDED, ADA_MEMBER)
        identity = Identity(uid=expected[0], gid=expected[1], groups=(100, 44))
        history.when(asked).then(reservation("P1~S1"), replace(GRANTED, identity=identity))


def test_root_is_not_taken_from_the_directory() -> None:
    asked = replace(ask, account=NumericAccount(uid=0, gid=0))
    KNOWN.when(asked).then_raises(NotPermitted)


def test_the_users_account_is_left_aside_when_the_facility_wants_it_so() -> None:
    registered = replace(ADA_REGISTERED, uid=1000, gid=1001)
    history = given(registered, DESKTOP_ADDED, replace(P1_ADDED, details=replace(DETAILS, uid=None, gid=None)))
    history = history.and_then(S1_ADDED, ADA_MEMBER)
    policy = replace(POLICY, uses_user_uid=False, uses_user_gid=False)
    identity = Identity(uid=policy.uid, gid=policy.gid, groups=(100, 44))
    history.when(ask, policy=policy).then(reservation("P1~S1"), replace(GRANTED, identity=identity))


def test_the_home_folder_comes_after_the_data_and_is_not_where_a_container_begins() -> None:
    home = Volume(source="/home/ada", bind="/tmp/user/home", mode=Mode.READ_WRITE)
    granted = replace(GRANTED, volumes=(*GRANTED.volumes, home))
    KNOWN.when(ask, policy=replace(POLICY, home="/home/$USERNAME")).then(reservation("P1~S1"), granted)
