"""A small facility to try things out: two users, two experiments with sessions and volumes, a link and the desktop."""

import os
import secrets
from datetime import UTC, datetime
from uuid import uuid4

from calipso import sizes
from calipso.backend import Backend
from calipso.bootstrap.targets import docker_of
from calipso.cli import users
from calipso.cli.common import dispatch, user_id_of
from calipso.commands.experiment import AddExperiment, AddMember, AddSession
from calipso.commands.handling import EXPERIMENT, IMAGE, USER_NAME
from calipso.commands.image import AddImage
from calipso.errors import Unavailable
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.events.values import ImageSpec, Mode, Protocol, Resources, Runtime, Volume

DESKTOP = "calipso/desktop:1"
_USERS = {"admin": True, "scientist": False}
_EXPERIMENTS = {
    "20260001": ExperimentDetails(
        title="Tin at low temperature",
        description="Phase transition of tin between 4 K and 300 K",
        beam_line="BL01",
        uid=5001,
        gid=5001,
    ),
    "20260002": ExperimentDetails(
        title="Bones of a whale",
        description="Tomography of a fossil vertebra",
        beam_line="BL04",
        uid=5002,
        gid=5002,
    ),
}


def fill(backend: Backend) -> None:
    """Fill in what is missing of the small facility; harmless to repeat."""
    _users(backend)
    for proposal_id, details in _EXPERIMENTS.items():
        _experiment(backend, proposal_id, details)
    link = ImageSpec(
        reference="https://guacamole.apache.org/doc/gug/using-guacamole.html",
        runtime=Runtime.STATIC_LINK,
        protocol=Protocol.NONE,
        resources=Resources(),
    )
    _image(backend, "manual", link)
    _desktop(backend)


def _users(backend: Backend) -> None:
    naming = backend.installation.naming
    missing = [n for n in _USERS if backend.dispatcher.state(USER_NAME, naming.user_name(n)) is None]
    given = os.environ.get("CALIPSO_DEMO_PASSWORD")
    password = given or secrets.token_hex(8)
    for name in missing:
        users.register(backend, name, password=password, admin=_USERS[name])
    if given:
        for name in set(_USERS) - set(missing):
            backend.passwords.set(user_id_of(backend, name), given)
    if missing:
        told = "of CALIPSO_DEMO_PASSWORD" if given else password
        print(f"demo: users {' and '.join(_USERS)}, password {told}", flush=True)


def _experiment(backend: Backend, proposal_id: str, details: ExperimentDetails) -> None:
    experiment_id = backend.installation.naming.experiment(proposal_id)
    if backend.dispatcher.state(EXPERIMENT, experiment_id) is not None:
        return
    dispatch(backend, AddExperiment(experiment_id=experiment_id, proposal_id=proposal_id, details=details))
    for number in ("1", "2"):
        session = _session(backend, proposal_id, number)
        dispatch(backend, AddSession(experiment_id=experiment_id, proposal_id=proposal_id, session=session))
    member = AddMember(
        experiment_id=experiment_id,
        proposal_id=proposal_id,
        user_id=user_id_of(backend, "scientist"),
        membership_id=uuid4(),
    )
    dispatch(backend, member)


def _session(backend: Backend, proposal_id: str, number: str) -> SessionDetails:
    policy = backend.settings.policy(backend.keys.current)
    place = f"/{proposal_id}/{number}"
    return SessionDetails(
        session_number=number,
        start=datetime(2026, 11, 2 + 7 * int(number), 8, tzinfo=UTC),
        end=datetime(2026, 11, 6 + 7 * int(number), 18, tzinfo=UTC),
        subject=f"Visit {number}",
        body="Measured on site",
        volumes=(
            Volume(source=policy.datasets_root + place, bind=place, mode=Mode.READ_ONLY),
            Volume(source=policy.output_root + place, bind=place, mode=Mode.READ_WRITE),
        ),
    )


def _image(backend: Backend, name: str, spec: ImageSpec) -> None:
    image_id = backend.installation.naming.image(name)
    if backend.dispatcher.state(IMAGE, image_id) is None:
        dispatch(backend, AddImage(image_id=image_id, name=name, spec=spec))


def _desktop(backend: Backend) -> None:
    """Offer the desktop where a Docker Engine has its image; say how to get it where it has not."""
    for target in backend.settings.effective_targets():
        if target.runtime is not Runtime.DOCKER:
            continue
        try:
            has_image = docker_of(backend, target).has_image(DESKTOP)
        except Unavailable as error:
            print(f"demo: no desktop, {error}", flush=True)
            continue
        if has_image:
            _image(backend, "desktop", _DESKTOP_SPEC)
            return
        print("demo: no desktop yet: run `ops/images/build desktop`, then start again with --demo", flush=True)


_DESKTOP_SPEC = ImageSpec(
    reference=DESKTOP,
    runtime=Runtime.DOCKER,
    protocol=Protocol.VNC,
    resources=Resources(millicores=1000, memory=2 * sizes.GIB, disk=5 * sizes.GIB),
    port_hook="5901/tcp",
)
