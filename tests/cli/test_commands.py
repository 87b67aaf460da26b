"""The commands that take the place of the predecessor's: what they print, what they refuse, and with which status."""

import pytest
from tests.cli.conftest import Program

from calipso.events.experiment import ExperimentChanged, ExperimentDetails

EXPERIMENT = ("--public-number", "P1", "--title", "Tin", "--description", "Cold", "--beamline-code", "BL01")
SESSION = (
    *("sessions", "add", "--public-number", "P1", "--session-number", "7", "--start-date", "2026-11-20"),
    *("--end-date", "2026-11-23", "--subject", "Tin", "--body", "Cold", "--data-set-path"),
)
MEMBER = ("--userlogin", "ada", "--public-number", "P1")
LIMITS = ("--max-simultaneous", "3", "--cpu", "4", "--memory", "20G", "--hdd", "40G")
IMAGE = (
    *("--image", "desktop:12", "--protocol", "vnc", "--cpu", "1", "--memory", "3G", "--hdd", "5G"),
    *("--resource-type", "docker_container"),
)

# in this order: what is asked, the status, and a text of what is printed
STEPS: list[tuple[tuple[str, ...], int, str]] = [
    (("users", "add", "ada"), 0, "Successfully inserted user ada"),
    (("users", "add", "ada"), 0, "User ada already exists"),
    (("users", "add", "ada", "--admin"), 1, "user 'ada' already exists"),
    (("users", "add", "a/b"), 1, "error: "),
    (("users", "promote", "ada"), 0, "ada"),
    (("users", "promote", "ada"), 0, "ada"),
    (("users", "demote", "ada"), 0, "ada"),
    (("users", "promote", "nobody"), 1, "user 'nobody' does not exist"),
    (("experiments", "add", *EXPERIMENT), 0, 'Successfully added experiment "P1"'),
    (("experiments", "add", *EXPERIMENT), 1, "experiment 'P1' already exists"),
    (("experiments", "add", *EXPERIMENT[:-2]), 2, "Missing option '--beamline-code'"),
    (("experiments", "add", "--public-number", "P2", *EXPERIMENT[2:], "--uid", "0"), 1, "uid"),
    (("experiments", "update", "--public-number", "P1", "--title", "Lead"), 0, 'Successfully updated experiment "P1"'),
    (("experiments", "update", "--public-number", "P9", "--title", "Lead"), 1, "experiment 'P9' does not exist"),
    ((*SESSION, "{}"), 0, 'Successfully added session to experiment "P1"'),
    ((*SESSION, "{}"), 1, "session '7' already exists"),
    ((*SESSION[:3], "P9", *SESSION[4:], "{}"), 1, "experiment 'P9' does not exist"),
    ((*SESSION[:5], "8", *SESSION[6:], "none"), 1, "data_set_path: is not JSON"),
    ((*SESSION[:5], "8", *SESSION[6:], '{"/etc": {"bind": "/p1", "mode": "rw"}}'), 1, "/etc"),
    ((*SESSION[:5], "8", *SESSION[6:7], "soon", *SESSION[8:], "{}"), 1, "start_date"),
    (("members", "add", *MEMBER), 0, "Successfully added experiment P1 to user ada"),
    (("members", "add", *MEMBER), 1, "already"),
    (("members", "add", "--userlogin", "nobody", *MEMBER[2:]), 1, "user 'nobody' does not exist"),
    (("members", "add", *MEMBER[:3], "P9"), 1, "experiment 'P9' does not exist"),
    (("members", "remove", *MEMBER), 0, "Successfully removed user ada from experiment:P1"),
    (("members", "remove", *MEMBER), 1, "does not exist"),
    (("experiments", "remove", "--public-number", "P1"), 0, 'Successfully removed experiment "P1"'),
    (("experiments", "remove", "--public-number", "P1"), 1, "experiment 'P1' does not exist"),
    (("quotas", "set", "ada", *LIMITS), 0, "Successfully set the quota of ada"),
    (("quotas", "set", "nobody", *LIMITS), 1, "user 'nobody' does not exist"),
    (("quotas", "set", "ada", *LIMITS[:5], "many", *LIMITS[6:]), 1, "memory"),
    (("images", "add", "desktop", *IMAGE), 0, 'Successfully added image "desktop"'),
    (("images", "add", "desktop", *IMAGE), 1, "image 'desktop' already exists"),
    (("images", "change", "desktop", "--cpu", "2"), 0, 'Successfully changed image "desktop"'),
    (("images", "change", "none", "--cpu", "2"), 1, "image 'none' does not exist"),
    (("images", "withdraw", "desktop"), 0, 'Successfully withdrew image "desktop"'),
    (("images", "withdraw", "desktop"), 1, "image 'desktop' does not exist"),
]


def test_what_each_command_says(program: Program) -> None:
    ended = [program.run(*arguments) for arguments, _, _ in STEPS]
    told = [
        f"{arguments}: {each}"
        for (arguments, status, text), each in zip(STEPS, ended, strict=True)
        if not (each.status == status and text in each.out + each.err and (each.err if status else each.out))
    ]
    assert told == []
    assert not any("Traceback" in each.err for each in ended)


@pytest.mark.parametrize("group", ["users", "experiments", "sessions", "members", "images", "quotas"])
def test_help_is_there_without_a_system(program: Program, group: str) -> None:
    ended = program.run(group, "--help")
    assert ended.status == 0
    assert "Commands" in ended.out


def test_an_update_changes_what_is_given_and_nothing_else(program: Program) -> None:
    program.run("experiments", "add", *EXPERIMENT, "--uid", "5001", "--gid", "5002")
    assert program.run("experiments", "update", "--public-number", "P1", "--title", "Lead").status == 0
    (changed,) = program.stored(ExperimentChanged)
    assert changed.details == ExperimentDetails(title="Lead", description="Cold", beam_line="BL01", uid=5001, gid=5002)
    assert program.run("experiments", "update", "--public-number", "P1", "--title", "Lead").status == 0
    assert len(program.stored(ExperimentChanged)) == 1
