"""Commands that are really decided: what the read models show is what the streams tell."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from tests.builders import NAMING, PLACEMENT, details, image_spec, limits, session_details, uuid_of
from tests.projections.rows import READ_MODELS, apply, rolled_back, rows_after, rows_rebuilt

from calipso.codec import Codec
from calipso.commands import container, experiment, image, quota, request, user
from calipso.commands.dispatch import Dispatcher, cause_of
from calipso.commands.handling import CONTAINER, QUOTA
from calipso.commands.policy import Policy
from calipso.errors import CalipsoError
from calipso.events.naming import quota_stream
from calipso.events.values import FailureReason, Runtime
from calipso.projections import containers, quotas
from calipso.store_memory import MemoryStore
from calipso.vault import MemorySubjectKeys

POLICY = Policy(
    limits=limits(3),
    targets={Runtime.DOCKER: ("docker-a", "docker-b")},
    datasets_root="/data",
    output_root="/output",
    uid=1000,
    gid=1000,
    groups=(100,),
    run_limit=timedelta(minutes=4),
    key_number=1,
)
USERS = tuple(uuid_of(name) for name in ("ada", "bob"))
CONTAINERS = tuple(uuid_of(f"container {number}") for number in range(4))
TARGETS = tuple(request.TargetOffered(target_id=NAMING.target(name), name=name) for name in ("docker-a", "docker-b"))
P1: dict[str, Any] = {"experiment_id": NAMING.experiment("P1"), "proposal_id": "P1"}
DESKTOP: dict[str, Any] = {"image_id": NAMING.image("desktop"), "name": "desktop"}
SESSION = request.SessionWanted(**P1, session_number="S1")

BEGIN: Sequence[object] = [
    *(user.RegisterUser(user_id=u, name_id=NAMING.user_name(str(u)), name=str(u)) for u in USERS),
    image.AddImage(**DESKTOP, spec=image_spec()),
    experiment.AddExperiment(**P1, details=details()),
    experiment.AddSession(**P1, session=session_details("S1")),
    experiment.AddMember(**P1, user_id=USERS[0], membership_id=uuid_of("membership")),
]


def _of_user(user_id: UUID) -> Sequence[object]:
    return [
        quota.AssignQuota(user_id=user_id, limits=limits(2)),
        experiment.AddMember(**P1, user_id=user_id, membership_id=uuid_of("membership")),
        experiment.RemoveMember(**P1, user_id=user_id),
        user.MarkFavorite(user_id=user_id, experiment_id=P1["experiment_id"], favorite=True),
        user.MarkFavorite(user_id=user_id, experiment_id=P1["experiment_id"], favorite=False),
        user.RecordLogin(user_id=user_id, method="local"),
    ]


def _of_container(container_id: UUID, user_id: UUID) -> Sequence[object]:
    one: dict[str, Any] = {"container_id": container_id}
    wanted: dict[str, Any] = {
        **one,
        "user_id": user_id,
        "image_id": DESKTOP["image_id"],
        "image_name": "desktop",
        "info": "",
        "targets": TARGETS,
    }
    return [
        request.RequestContainer(**wanted, label="own"),
        request.RequestContainer(**wanted, label="S1", session=SESSION),
        container.ClaimContainer(**one, claimant="one"),
        container.AdoptContainer(**one, claimant="two", dead="one", reason="its claimant is dead"),
        container.RecordContainerStarted(**one, claimant="one", placement=PLACEMENT, image_digest="sha256:9f86"),
        container.RecordContainerFailed(**one, reason=FailureReason.CRASHED, detail="exit code 1"),
        container.RecordContainerEnded(**one, exit_code=0),
        container.RecordContainerStopped(**one),
        container.RecordContainerRemoved(**one),
        container.RecordContainerLost(**one, reason="absent in two listings"),
        container.StopContainer(**one),
        container.RemoveContainer(**one),
    ]


COMMANDS: Sequence[object] = [
    *(command for user_id in USERS for command in _of_user(user_id)),
    *(command for number, c in enumerate(CONTAINERS) for command in _of_container(c, USERS[number % 2])),
    image.ChangeImage(**DESKTOP, spec=image_spec(port_hook="5901/tcp")),
    image.WithdrawImage(**DESKTOP),
    image.AddImage(**DESKTOP, spec=image_spec()),
    experiment.ChangeSession(**P1, session=session_details("S1", subject="Changed")),
    experiment.RemoveExperiment(**P1),
    experiment.AddExperiment(**P1, details=details()),
    experiment.AddSession(**P1, session=session_details("S1")),
]

# chance alone seldom starts a container, so some steps are a whole beginning
STEPS: Sequence[Sequence[object]] = [
    *((command,) for command in COMMANDS),
    *(
        [life[first], *life[2:last]]
        for number, c in enumerate(CONTAINERS)
        for life in [_of_container(c, USERS[number % 2])]
        for first in (0, 1)
        for last in (3, 5)
    ),
]
LISTS = st.lists(st.sampled_from(STEPS), min_size=10, max_size=40).map(lambda steps: list(chain(*steps)))
CUTS = st.lists(st.integers(0, 200), max_size=4)


@settings(max_examples=50, deadline=None)
@given(commands=LISTS, cuts=CUTS)
def test_read_models_show_what_the_streams_tell(read_models: Engine, commands: list[object], cuts: list[int]) -> None:
    dispatcher, store = obey([*BEGIN, *commands])
    events = store.read(after=0, limit=10_000).events
    with rolled_back(read_models) as connection:
        for model in READ_MODELS:
            apply(model, connection, events, cuts)
        shown = {row.container_id: row.state for row in containers.every_of(connection, None)}
        used = {user_id: quotas.used_by(connection, user_id) for user_id in USERS}
        active = {user_id: len(containers.active_of(connection, user_id)) for user_id in USERS}
    states = {container_id: dispatcher.state(CONTAINER, container_id) for container_id in CONTAINERS}
    held = {user_id: dispatcher.state(QUOTA, quota_stream(user_id)) for user_id in USERS}
    assert shown == {container_id: state.state for container_id, state in states.items() if state}
    assert used == {user_id: (len(state.reservations), state.used()) for user_id, state in held.items()}
    assert active == {user_id: number for user_id, (number, _) in used.items()}


@settings(max_examples=20, deadline=None)
@given(commands=LISTS)
def test_a_rebuild_gives_what_was_followed_live(read_models: Engine, commands: list[object]) -> None:
    events = obey([*BEGIN, *commands])[1].read(after=0, limit=10_000).events
    for model in READ_MODELS:
        assert rows_rebuilt(model, read_models, events) == rows_after(model, read_models, events, range(len(events)))


def obey(commands: Sequence[object]) -> tuple[Dispatcher, MemoryStore]:
    """Obey the commands that can be obeyed; gives the dispatcher, and the store with all that it stored."""
    store = MemoryStore(Codec(MemorySubjectKeys()))
    dispatcher = Dispatcher(store, POLICY)
    obeyed = 0
    for command in commands:
        try:
            dispatcher.dispatch(command, cause_of("service:test"))
            obeyed += 1
        except CalipsoError:
            continue
    assert obeyed >= len(BEGIN)
    return dispatcher, store
