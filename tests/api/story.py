"""What happens in the tests that look back: a container beside an experiment's data, and its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from sqlalchemy import insert
from tests.api.conftest import Api
from tests.api.visitors import People, obey

from calipso.commands.container import ClaimContainer, RecordContainerStarted, RecordContainerStopped, StopContainer
from calipso.commands.experiment import AddExperiment, AddMember, AddSession, RemoveMember
from calipso.commands.image import AddImage, WithdrawImage
from calipso.commands.quota import AssignQuota
from calipso.commands.request import RequestContainer, SessionWanted, TargetOffered
from calipso.credentials import guacamole_username
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.events.naming import container_name
from calipso.events.values import ImageSpec, Limits, Mode, Placement, Protocol, Resources, Runtime, Volume
from calipso.projections.guacamole.tables import connection_history

SMALL = Resources(millicores=1000, memory=2**30, disk=2**30)
LIMITS = Limits(containers=2, resources=SMALL)


@dataclass(frozen=True, kw_only=True)
class Story:
    """What happened, and a moment in its middle: while a container ran beside an experiment's data."""

    image: str
    proposal: str
    container_id: UUID
    moment: str


def tell(api: Api, people: People) -> Story:
    """Let it happen: Ada runs a container beside data, opens it, stops it, and loses her membership."""
    naming, word = api.backend.installation.naming, uuid4().hex[:8]
    told = Story(image=f"image-{word}", proposal=f"P-{word}", container_id=uuid4(), moment="")
    key: dict[str, Any] = {"experiment_id": naming.experiment(told.proposal), "proposal_id": told.proposal}
    image_id, ada = naming.image(told.image), people.ada.user_id
    one: dict[str, Any] = {"container_id": told.container_id}
    spec = ImageSpec(reference="desktop:12", runtime=Runtime.DOCKER, protocol=Protocol.VNC, resources=SMALL)
    folder = Volume(source=f"/tmp/data/{word}", bind="/p", mode=Mode.READ_ONLY)
    session = SessionDetails(session_number="1", start=None, end=None, subject="", body="", volumes=(folder,))
    before: Sequence[object] = [
        AddImage(image_id=image_id, name=told.image, spec=spec),
        AddExperiment(**key, details=ExperimentDetails(title="Ice", description="", beam_line="B")),
        AddSession(**key, session=session),
        AddMember(**key, user_id=ada, membership_id=uuid4()),
        RequestContainer(
            **one,
            user_id=ada,
            image_id=image_id,
            image_name=told.image,
            label="1",
            info=told.proposal,
            session=SessionWanted(**key, session_number="1"),
            targets=(TargetOffered(target_id=naming.target("docker"), name="docker"),),
        ),
        ClaimContainer(**one, claimant="docker/0"),
        RecordContainerStarted(
            **one, claimant="docker/0", placement=Placement(runtime_id="9f", name="c"), image_digest=""
        ),
    ]
    obey(api, *before)
    moment = api.backend.store.at([api.backend.store.head()])[0].time
    after: Sequence[object] = [
        StopContainer(**one),
        RecordContainerStopped(**one),
        RemoveMember(**key, user_id=ada),
        WithdrawImage(image_id=image_id, name=told.image),
        AssignQuota(user_id=ada, limits=LIMITS),
    ]
    obey(api, *after)
    engine = api.backend.guacamole_engine
    assert engine is not None
    with engine.begin() as connection:
        begin = moment - timedelta(seconds=1)
        name = container_name(told.container_id)
        row = {
            "username": guacamole_username(told.container_id),
            "connection_name": name,
            "remote_host": "10.0.0.7",
            "start_date": begin,
        }
        connection.execute(insert(connection_history).values(**row))
    return Story(
        image=told.image, proposal=told.proposal, container_id=told.container_id, moment=quote(moment.isoformat())
    )
