"""What a request for a container needs, and what it is refused for."""

from dataclasses import replace

import pytest
from tests.commands.requests import GRANTED, ID, KNOWN, ask, ask_own, held, refused, reservation
from tests.commands.scenario import (
    ADA,
    ADA_MEMBER,
    ADA_REGISTERED,
    BOB,
    DESKTOP,
    DESKTOP_ADDED,
    GIB,
    LIMITS,
    P1,
    P1_ADDED,
    S1_ADDED,
    SPEC,
    given,
)

from calipso.commands.request import RequestContainer, refusal_error
from calipso.errors import (
    AlreadyExists,
    AlreadyLaunched,
    CalipsoError,
    NotAMember,
    NotFound,
    QuotaExceeded,
)
from calipso.events import experiment, image, user
from calipso.events.container import ContainerRequested
from calipso.events.envelope import Event
from calipso.events.quota import QuotaAssigned, QuotaReleased, QuotaReserved
from calipso.events.refusals import RefusalReason
from calipso.events.values import Limits, Resources

WITHDRAWN = image.ImageWithdrawn(image_id=DESKTOP)
ERASED = user.UserErased(user_id=ADA)
NO_SESSION = NotFound("session", "P1~S1")


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        pytest.param([], NotFound("image", "desktop"), id="nothing: the image is looked at first"),
        pytest.param([*KNOWN.events, WITHDRAWN], NotFound("image", "desktop"), id="withdrawn image"),
        pytest.param([DESKTOP_ADDED], NotFound("user", str(ADA)), id="unknown user"),
        pytest.param([*KNOWN.events, ERASED], NotFound("user", str(ADA)), id="erased user"),
        pytest.param([DESKTOP_ADDED, ADA_REGISTERED], NO_SESSION, id="unknown experiment"),
        pytest.param([DESKTOP_ADDED, ADA_REGISTERED, P1_ADDED, ADA_MEMBER], NO_SESSION, id="unknown session"),
        pytest.param(
            [*KNOWN.events, experiment.ExperimentRemoved(experiment_id=P1)], NO_SESSION, id="removed experiment"
        ),
        pytest.param(
            [*KNOWN.events, experiment.ExperimentRemoved(experiment_id=P1), P1_ADDED],
            NO_SESSION,
            id="experiment that was added again, without its sessions",
        ),
    ],
)
def test_what_does_not_exist(facts: list[Event], error: CalipsoError) -> None:
    given(*facts).when(ask).then_error(error)


def test_an_id_that_is_taken() -> None:
    KNOWN.and_then(GRANTED).when(ask).then_error(AlreadyExists("container", str(ID)))


def test_an_image_that_was_added_again() -> None:
    KNOWN.and_then(WITHDRAWN, DESKTOP_ADDED).when(ask).then(reservation("P1~S1"), GRANTED)


FULL = [held(1, "P1~S1", Resources(millicores=3001, memory=6 * GIB + 1, disk=5 * GIB + 1)), held(2, "x"), held(3, "y")]


@pytest.mark.parametrize(
    ("facts", "reservations", "reason"),
    [
        pytest.param([], FULL, RefusalReason.NOT_A_MEMBER, id="not a member"),
        pytest.param([ADA_MEMBER], FULL, RefusalReason.ALREADY_LAUNCHED, id="launched already"),
        pytest.param([ADA_MEMBER], [held(0, "z"), *FULL[1:]], RefusalReason.MACHINES, id="machines"),
        pytest.param([ADA_MEMBER], [replace(FULL[0], label="z")], RefusalReason.CPUS, id="processors"),
        pytest.param(
            [ADA_MEMBER],
            [held(1, "z", replace(FULL[0].resources, millicores=3000))],
            RefusalReason.MEMORY,
            id="memory",
        ),
        pytest.param(
            [ADA_MEMBER],
            [held(1, "z", Resources(millicores=3000, memory=6 * GIB, disk=5 * GIB + 1))],
            RefusalReason.HDD,
            id="disk",
        ),
    ],
)
def test_each_refusal_in_the_order_of_the_contract(
    facts: list[Event], reservations: list[QuotaReserved], reason: RefusalReason
) -> None:
    history = given(ADA_REGISTERED, DESKTOP_ADDED, P1_ADDED, S1_ADDED, *facts, *reservations)
    history.when(ask).then(refused(reason, *reservations))


def test_the_last_bit_of_every_limit_may_be_used() -> None:
    rest = Resources(millicores=3000, memory=6 * GIB, disk=5 * GIB)
    KNOWN.and_then(held(1, "x", rest), held(2, "y", Resources())).when(ask).then(reservation("P1~S1"), GRANTED)


@pytest.mark.parametrize(
    ("reason", "error", "text"),
    [
        (RefusalReason.NOT_A_MEMBER, NotAMember, "not a member of experiment P1"),
        (RefusalReason.ALREADY_LAUNCHED, AlreadyLaunched, "Resource already launched"),
        (RefusalReason.MACHINES, QuotaExceeded, "Max machines exceeded"),
        (RefusalReason.CPUS, QuotaExceeded, "Max cpus exceeded"),
        (RefusalReason.MEMORY, QuotaExceeded, "Max memory exceeded"),
        (RefusalReason.HDD, QuotaExceeded, "Max hdd exceeded"),
    ],
)
def test_the_words_of_each_refusal(reason: RefusalReason, error: type[CalipsoError], text: str) -> None:
    told = refusal_error(refused(reason))
    assert (type(told), str(told)) == (error, text)


def test_somebody_else_is_not_a_member() -> None:
    somebody = replace(ADA_MEMBER, user_id=BOB)
    history = given(ADA_REGISTERED, DESKTOP_ADDED, P1_ADDED, S1_ADDED, somebody)
    history.when(ask).then(refused(RefusalReason.NOT_A_MEMBER))


def test_a_member_no_more() -> None:
    gone = experiment.MemberRemoved(experiment_id=P1, user_id=ADA)
    KNOWN.and_then(gone).when(ask).then(refused(RefusalReason.NOT_A_MEMBER))


def test_limits_of_the_users_own_hold_instead_of_the_facilitys() -> None:
    none = Limits(containers=0, resources=LIMITS.resources)
    KNOWN.and_then(QuotaAssigned(user_id=ADA, limits=none)).when(ask).then(refused(RefusalReason.MACHINES, limits=none))
    more = Limits(containers=9, resources=LIMITS.resources)
    three = [held(n, f"x{n}") for n in range(3)]
    KNOWN.and_then(*three, QuotaAssigned(user_id=ADA, limits=more)).when(ask).then(
        reservation("P1~S1", limits=more), GRANTED
    )


def test_what_was_released_is_free() -> None:
    released = QuotaReleased(user_id=ADA, container_id=FULL[0].container_id)
    KNOWN.and_then(*FULL, released).when(ask).then(reservation("P1~S1"), GRANTED)


def test_what_an_image_takes_is_what_it_says_now() -> None:
    bigger = Resources(millicores=3000, memory=GIB, disk=0)
    history = KNOWN.and_then(held(1, "x"), image.ImageChanged(image_id=DESKTOP, spec=replace(SPEC, resources=bigger)))
    granted = replace(GRANTED, image=replace(SPEC, resources=bigger), resources=bigger)
    history.when(ask).then(reservation("P1~S1", resources=bigger), granted)


@pytest.mark.parametrize(
    ("taken", "command"),
    [
        pytest.param("S1", ask, id="an own word is no session"),
        pytest.param("P2~S1", ask, id="the same session number of another experiment"),
        pytest.param("P1~S1", ask_own, id="a session is no own word"),
        pytest.param("K3X9Q", ask_own, id="words differ by case"),
    ],
)
def test_labels_that_differ(taken: str, command: RequestContainer) -> None:
    outcome = KNOWN.and_then(held(1, taken)).when(command)
    assert [type(event) for event in outcome.events] == [QuotaReserved, ContainerRequested]


def test_an_own_word_is_given_once_while_it_is_active() -> None:
    KNOWN.and_then(held(1, "k3x9q")).when(ask_own).then(
        replace(refused(RefusalReason.ALREADY_LAUNCHED, held(1, "")), label="k3x9q", info="k3x9q", experiment_id=None)
    )
