"""Usage, what-if and the past on the command line, of a small history."""

import csv
import json
from typing import Any
from uuid import uuid4

import pytest
from tests.cli.conftest import Program
from tests.cli.test_history import shown

from calipso.commands.container import ClaimContainer, RecordContainerStarted, RecordContainerStopped, StopContainer
from calipso.commands.dispatch import cause_of
from calipso.commands.experiment import AddExperiment, AddMember, AddSession
from calipso.commands.handling import USER_NAME
from calipso.commands.image import AddImage
from calipso.commands.request import RequestContainer, SessionWanted, TargetOffered
from calipso.errors import QuotaExceeded
from calipso.events.audit import HistoryRead
from calipso.events.experiment import ExperimentDetails, SessionDetails
from calipso.events.values import ImageSpec, Mode, Placement, Protocol, Resources, Runtime, Volume

SIZE = Resources(millicores=6000, memory=2**30, disk=2**30)
FOLDER = Volume(source="/tmp/data/p1", bind="/p1", mode=Mode.READ_ONLY)


@pytest.fixture
def told(program: Program) -> Program:
    """One container beside P1 that ran and ended, one that runs, and one that was refused."""
    program.run("users", "add", "ada")
    backend, naming = program.backend, program.backend.installation.naming
    ada = backend.dispatcher.state(USER_NAME, naming.user_name("ada"))
    assert ada is not None
    key: dict[str, Any] = {"experiment_id": naming.experiment("P1"), "proposal_id": "P1"}
    spec = ImageSpec(reference="desktop:12", runtime=Runtime.DOCKER, protocol=Protocol.VNC, resources=SIZE)
    session = SessionDetails(session_number="1", start=None, end=None, subject="", body="", volumes=(FOLDER,))
    each: list[dict[str, Any]] = [{"container_id": uuid4()} for _ in range(3)]
    first, second, third = each
    wanted: dict[str, Any] = {
        "user_id": ada,
        "image_id": naming.image("desktop"),
        "image_name": "desktop",
        "label": "1",
        "info": "P1",
        "session": SessionWanted(**key, session_number="1"),
        "targets": (TargetOffered(target_id=naming.target("docker"), name="docker"),),
    }
    started: dict[str, Any] = {
        "claimant": "docker/0",
        "placement": Placement(runtime_id="9f", name="c"),
        "image_digest": "",
    }
    own = {**wanted, "session": None, "label": "own", "info": "own"}
    commands: list[object] = [
        AddImage(image_id=naming.image("desktop"), name="desktop", spec=spec),
        AddExperiment(**key, details=ExperimentDetails(title="Ice", description="", beam_line="B")),
        AddSession(**key, session=session),
        AddMember(**key, user_id=ada, membership_id=uuid4()),
        RequestContainer(**first, **wanted),
        ClaimContainer(**first, claimant="docker/0"),
        RecordContainerStarted(**first, **started),
        StopContainer(**first),
        RecordContainerStopped(**first),
        RequestContainer(**second, **wanted),
        ClaimContainer(**second, claimant="docker/0"),
        RecordContainerStarted(**second, **started),
    ]
    for command in commands:
        backend.dispatcher.dispatch(command, cause_of("service:test"))
    with pytest.raises(QuotaExceeded):
        backend.dispatcher.dispatch(RequestContainer(**third, **own), cause_of("service:test"))
    shown(program)
    return program


def rows(told: Program, *arguments: str) -> list[dict[str, Any]]:
    ended = told.run(*arguments, "--format", "jsonl")
    assert ended.status == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def test_usage_of_the_read_models_is_that_of_the_log(told: Program) -> None:
    now = rows(told, "history", "--type", "QuotaReleased")[0]["time"]
    period = ("--until", now, "--by", "user,experiment,image,runtime,day")
    (row,) = rows(told, "usage", *period)
    assert rows(told, "usage", *period, "--from-log") == [row]
    assert (row["user"], row["experiment"], row["image"], row["runtime"]) == (
        "ada",
        "P1",
        "desktop",
        "docker_container",
    )
    assert row["day"] == now[:10]
    assert row["containers"] == 1
    assert 0 < row["running_hours"] < row["held_hours"]
    assert row["held_cpu_hours"] == pytest.approx(6 * row["held_hours"])
    table = told.run("usage", *period).out.splitlines()
    assert table[0].startswith("USER  USER ID")
    lines = told.run("usage", "--by", "image", "--format", "csv").out.splitlines()
    assert [each["containers"] for each in csv.DictReader(lines)] == ["2"]
    assert {event.what for event in told.stored(HistoryRead)} == {"events", "usage"}


def test_what_another_quota_would_have_done(told: Program) -> None:
    day = rows(told, "what-if", "--quota", "cpu=4")[-1]
    assert (day["requests"], day["refused"], day["would_be_refused"], day["newly_refused"]) == (3, 1, 3, 2)
    assert (day["peak_containers"], day["would_be_peak_containers"], day["peak_cpus"]) == (1, 0, 6)
    (user,) = rows(told, "what-if", "--quota", "cpu=4", "--report", "users")
    assert (user["user"], user["newly_refused"], user["reasons"]) == ("ada", 2, {"cpus": 2})
    asked = rows(told, "what-if", "--image", "desktop:cpu=5", "--report", "requests")
    assert [(each["was"], each["would_be"]) for each in asked] == [
        ("granted", "granted"), ("granted", "granted"), ("cpus", "granted"),
    ]  # fmt: skip
    without = rows(told, "what-if", "--without-image", "desktop", "--report", "requests")
    assert {each["would_be"] for each in without} == {"not_offered"}


def test_the_past_in_rows(told: Program) -> None:
    then = rows(told, "history", "--type", "ContainerStarted")[0]["time"]
    assert [row["state"] for row in rows(told, "as-of", then, "containers", "ada")] == ["running"]
    assert [row["state"] for row in rows(told, "as-of", then, "containers")] == ["running"]
    limits, used = rows(told, "as-of", then, "quota", "ada")
    assert (limits["containers"], used["containers"], used["millicores"]) == (5, 1, 6000)
    assert [row["name"] for row in rows(told, "as-of", then, "images")] == ["desktop"]
    assert [row["sessions"] for row in rows(told, "as-of", then, "experiments", "ada")] == [["1"]]
    assert [row["user"] for row in rows(told, "as-of", then, "members", "P1")] == ["ada"]
    assert [row["how"] for row in rows(told, "as-of", then, "who-could", "/tmp/data/p1")] == [
        "could_start",
        "could_open",
    ]
    assert "there is no Guacamole database" in told.run("as-of", then, "who-could", "/tmp/data/p1").err


@pytest.mark.parametrize(
    ("arguments", "told_so"),
    [
        (("as-of", "2026-11-20T14:03:00", "images"), "has no time zone"),
        (("as-of", "9999-01-01T00:00:00Z", "images"), "lies in the future"),
        (("as-of", "2026-11-20T14:03:00Z", "containers", "eve"), "user 'eve' does not exist"),
        (("as-of", "2026-11-20T14:03:00Z", "members", "P9"), "experiment 'P9' does not exist"),
        (("as-of", "2026-11-20T14:03:00Z", "who-could", "p1"), "is not an absolute folder"),
        (("usage", "--by", "moon"), "'moon' is none of user, experiment, image, runtime, day"),
        (("usage", "--by", "day,day"), "names something twice"),
        (("usage", "--since", "2026-01-02", "--until", "2026-01-01"), "must not be before since"),
        (("what-if",), "name something that is to be different"),
        (("what-if", "--quota", "cpus=4"), "must be one of containers=..., cpu=..."),
        (("what-if", "--quota", "containers=many"), "must be a whole number"),
        (("what-if", "--image", "none:cpu=1"), "is none of"),
    ],
)
def test_what_is_wrong_is_told(program: Program, arguments: tuple[str, ...], told_so: str) -> None:
    ended = program.run(*arguments)
    assert (ended.status, ended.out) == (1, "")
    assert told_so in ended.err


def test_whom_the_past_is_of_must_be_said(program: Program) -> None:
    assert program.run("as-of", "2026-11-20T14:03:00Z", "quota").status == 2
