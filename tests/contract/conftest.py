"""An installation whose links are really provisioned, and whose Docker Engine never answers; no container is needed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest
from tests.api.conftest import Api, make_backend, served  # noqa: F401 - a fixture
from tests.api.visitors import Answer, People, Visitor, obey, people_of
from tests.conftest import find_free_port, nats_server

from calipso.backend import Backend
from calipso.bootstrap.provisioning import provision
from calipso.bootstrap.relaying import relay
from calipso.commands.experiment import AddExperiment, AddMember, AddSession
from calipso.commands.image import AddImage
from calipso.commands.quota import AssignQuota
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.events.values import ImageSpec, Limits, Protocol, Resources, Runtime

GIB = 2**30
LINK, DESKTOP = "link", "desktop"
TARGETS = [
    {"name": "links", "runtime": "static_link"},
    # nothing is provisioned there, so what is asked for stays as it was asked for
    {"name": "docker", "runtime": "docker_container", "address": "tcp://127.0.0.1:9"},
]


@pytest.fixture(scope="session")
def api(make_backend: Callable[..., Backend], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:  # noqa: F811 - the fixture
    """A served installation with a link and a desktop in its catalogue."""
    port, folder = find_free_port(), Path(tmp_path_factory.mktemp("nats"))
    with nats_server(port, folder):
        backend = make_backend(
            nats_url=f"nats://127.0.0.1:{port}",
            targets=json.dumps(TARGETS),
            run_limit=3,
            max_resources_per_user=1000,
            frontend_calipso="https://portal.example.org",
            umbrella_login="https://idp.example.org/login",
        )
        try:
            with served(backend, parts=[partial(relay, backend), partial(provision, backend, "links")]) as made:
                add_image(made, LINK, Runtime.STATIC_LINK, Resources())
                add_image(made, DESKTOP, Runtime.DOCKER, Resources(millicores=1000, memory=2 * GIB, disk=5 * GIB))
                yield made
        finally:
            backend.close()


@pytest.fixture
def people(api: Api) -> People:
    """People of the test's own."""
    return people_of(api)


def add_image(api: Api, name: str, runtime: Runtime, resources: Resources) -> None:
    """Put an image into the catalogue."""
    protocol = Protocol.VNC if runtime is Runtime.DOCKER else Protocol.NONE
    spec = ImageSpec(reference="https://example.org/", runtime=runtime, protocol=protocol, resources=resources)
    obey(api, AddImage(image_id=api.backend.installation.naming.image(name), name=name, spec=spec))


def limit(visitor: Visitor, **limits: int) -> None:
    """Give somebody a quota: `containers`, `millicores`, `memory` and `disk` (bytes)."""
    given = {"containers": 5, "millicores": 10_000, "memory": 30 * GIB, "disk": 80 * GIB, **limits}
    containers = given.pop("containers")
    obey(
        visitor.api,
        AssignQuota(user_id=visitor.user_id, limits=Limits(containers=containers, resources=Resources(**given))),
    )


@dataclass(frozen=True, kw_only=True)
class Granted:
    """An experiment with one session."""

    proposal: str
    session: str = "1"

    @property
    def path(self) -> str:
        """What stands in the path of a run."""
        return f"{self.proposal}~{self.session}"


def grant(api: Api, *members: Visitor) -> Granted:
    """Add an experiment with a session and members."""
    proposal, naming = f"P{uuid4().hex}", api.backend.installation.naming
    experiment_id = naming.experiment(proposal)
    details = ExperimentDetails(title="Tin", description="Cold", beam_line="BL01", uid=5001, gid=5001)
    session = SessionDetails(session_number="1", start=None, end=None, subject="Visit", body="", volumes=())
    obey(
        api,
        AddExperiment(experiment_id=experiment_id, proposal_id=proposal, details=details),
        AddSession(experiment_id=experiment_id, proposal_id=proposal, session=session),
        *(
            AddMember(experiment_id=experiment_id, proposal_id=proposal, user_id=m.user_id, membership_id=uuid4())
            for m in members
        ),
    )
    return Granted(proposal=proposal)


async def run(visitor: Visitor, experiment: str = "", image: str = LINK, *, owner: Visitor | None = None) -> Answer:
    """Ask for a container, as the frontend does."""
    wanted = quote(experiment or uuid4().hex)
    return await visitor.get(f"/resource/run/{(owner or visitor).name}/{wanted}/{quote(image)}/")
