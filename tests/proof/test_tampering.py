# ruff: noqa: S608 - whoever tampers writes SQL
"""Whoever changes the tables by hand is found out, and the first place is named."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.proof.conftest import Log

from calipso.proof.chain import CANONICAL
from calipso.proof.verifying import Kind

AT_7 = "WHERE notification_id = 7"
SWAP = "UPDATE stored_events SET notification_id = 16 - notification_id WHERE notification_id IN (7, 9)"
MOVE_ASIDE = "DROP INDEX stored_events_notification_id_idx"
COPY = (
    "INSERT INTO stored_events SELECT gen_random_uuid(), 1, topic, state, {position}, recorded_at, gen_random_uuid(), 0"
    " FROM stored_events WHERE notification_id = 7"
)
# what somebody does who knows how the chain is made
REWRITE = f"""
DO $$
DECLARE
    previous bytea := (SELECT hash FROM event_chain WHERE position < 7 ORDER BY position DESC LIMIT 1);
    found record;
BEGIN
    DELETE FROM event_chain WHERE position >= 7;
    FOR found IN SELECT notification_id, {CANONICAL} AS content FROM stored_events WHERE notification_id >= 7
        ORDER BY notification_id
    LOOP
        previous := sha256(previous || found.content);
        INSERT INTO event_chain VALUES (found.notification_id, previous);
    END LOOP;
END $$
"""

# how it was tampered with, and what must be found, the first place first
TAMPERED: dict[str, tuple[list[str], list[tuple[int, Kind]]]] = {
    "another state": (
        [f"UPDATE stored_events SET state = state || '\\x20'::bytea {AT_7}"],
        [(7, Kind.CHANGED)],
    ),
    "another time": (
        [f"UPDATE stored_events SET recorded_at = recorded_at + interval '1 microsecond' {AT_7}"],
        [(7, Kind.CHANGED)],
    ),
    "another topic": (
        ["UPDATE stored_events SET topic = replace(topic, 'Granted', 'Revoked') WHERE notification_id < 8"],
        [(2, Kind.CHANGED), (4, Kind.CHANGED), (7, Kind.CHANGED)],
    ),
    "another stream": (
        [f"UPDATE stored_events SET originator_id = gen_random_uuid() {AT_7}"],
        [(7, Kind.CHANGED)],
    ),
    "another version": ([f"UPDATE stored_events SET originator_version = 99 {AT_7}"], [(7, Kind.CHANGED)]),
    "another command": ([f"UPDATE stored_events SET command_id = gen_random_uuid() {AT_7}"], [(7, Kind.CHANGED)]),
    "another place in its command": ([f"UPDATE stored_events SET command_index = 99 {AT_7}"], [(7, Kind.CHANGED)]),
    "the first": (
        ["UPDATE stored_events SET state = '' WHERE notification_id = 1"],
        [(1, Kind.CHANGED)],
    ),
    "removed": ([f"DELETE FROM stored_events {AT_7}"], [(7, Kind.REMOVED)]),
    "the last removed": (["DELETE FROM stored_events WHERE notification_id = 20"], [(20, Kind.REMOVED)]),
    "many removed": (
        ["DELETE FROM stored_events WHERE notification_id BETWEEN 7 AND 9"],
        [(7, Kind.REMOVED), (8, Kind.REMOVED), (9, Kind.REMOVED)],
    ),
    "inserted where one was removed": (
        ["DELETE FROM stored_events WHERE notification_id = 9", COPY.format(position=9)],
        [(9, Kind.CHANGED)],
    ),
    "inserted before the first": (
        [COPY.format(position=-1), COPY.format(position=0)],
        [(-1, Kind.INSERTED), (0, Kind.INSERTED)],
    ),
    "two in each other's place": ([MOVE_ASIDE, SWAP], [(7, Kind.CHANGED), (9, Kind.CHANGED)]),
    "put behind the others": (
        [f"UPDATE stored_events SET notification_id = 30 {AT_7}"],
        [(7, Kind.REMOVED)],
    ),
    "a link removed": (["DELETE FROM event_chain WHERE position = 7"], [(7, Kind.INSERTED), (8, Kind.CHANGED)]),
    "a link changed": (
        ["UPDATE event_chain SET hash = sha256('x') WHERE position = 7"],
        [(7, Kind.CHANGED), (8, Kind.CHANGED)],
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_it_is_found_and_the_first_place_is_named(log: Log, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calipso.proof.verifying._PAGE", 4)
    statements, expected = TAMPERED[name]
    log.tamper(*statements)
    assert [(finding.position, finding.kind) for finding in log.found()] == expected


def test_inserting_into_a_gap_is_found(log: Log) -> None:
    log.tamper("SELECT nextval('stored_events_notification_id_seq') FROM generate_series(1, 5)")
    log.write(2)
    log.chain.complete()
    log.tamper(COPY.format(position=23))
    assert [(finding.position, finding.kind) for finding in log.found()] == [(23, Kind.INSERTED)]


def test_the_command_names_it_with_status_1(log: Log) -> None:
    fine = log.run("verify")
    assert (fine.status, fine.err) == (0, "")
    assert fine.out == "verified positions 1 to 20: no event was changed, removed, inserted or reordered\n"
    log.write(2)
    log.tamper(f"UPDATE stored_events SET state = '' {AT_7}", "DELETE FROM stored_events WHERE notification_id = 12")
    told = log.run("verify")
    assert told.status == 1
    first, second, third, tail = told.out.splitlines()
    assert first == "verified positions 1 to 20: THE LOG IS NOT WHAT IT WAS, first at"
    assert second.startswith("position 7: the event there is not the one that was chained")
    assert "calipso.user.RoleGranted, stream " in second
    assert third == "position 12: an event was chained there, and is gone"
    assert tail.startswith("not chained yet, so not proven: 2 events from position 21 (2")


def test_a_part_can_be_verified_alone(log: Log) -> None:
    log.tamper(f"DELETE FROM stored_events {AT_7}")
    assert log.run("verify", "--from", 8).status == 0
    assert log.run("verify", "--to", 6).status == 0
    assert log.run("verify", "--from", 7, "--to", 7).status == 1
    assert log.run("verify", "--from", 8, "--to", 4).err == "error: --to: 4 is before --from 8\n"
    assert "nothing: the chain ends before" in log.run("verify", "--from", 500).out


def test_many_places_are_counted(log: Log) -> None:
    log.write(10)
    log.chain.complete()
    log.tamper("UPDATE stored_events SET state = ''")
    told = log.run("verify").out.splitlines()
    assert len(told) == 22
    assert told[-1] == "and 10 more places"


@pytest.fixture
def checkpoint(log: Log, tmp_path: Path) -> Path:
    file = tmp_path / "calipso.checkpoint"
    assert log.run("checkpoint", "export", file, "--sign").status == 0
    return file


def test_a_chain_that_was_rewritten_differs_from_the_checkpoint(log: Log, checkpoint: Path) -> None:
    log.write(5)
    log.chain.complete()
    assert log.run("verify", "--checkpoint", checkpoint).status == 0
    log.tamper(f"UPDATE stored_events SET state = state || '\\x20'::bytea {AT_7}", REWRITE)
    assert log.run("verify").status == 0
    told = log.run("verify", "--checkpoint", checkpoint)
    assert told.status == 1
    assert "first at\nposition 7: events and chain were changed together: they differ from the checkpoint\n" in told.out


@pytest.mark.parametrize(("wanted", "where"), [(3, "positions 1 to 10"), (10_000, "position 7")])
def test_a_checkpoint_of_a_long_log_names_the_part(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: int, where: str
) -> None:
    monkeypatch.setattr("calipso.proof.checkpoints._MOST_MARKS", wanted)
    file = tmp_path / "of-few-marks"
    log.run("checkpoint", "export", file)
    log.tamper(f"DELETE FROM stored_events {AT_7}", REWRITE)
    told = log.run("verify", "--checkpoint", file)
    assert told.status == 1
    if wanted == 3:
        where = "positions 1 to 7"
    assert f"{where}: events and chain were changed together" in told.out


@pytest.mark.parametrize("position", [1, 15])
def test_an_end_that_was_cut_off_with_its_links_differs_from_the_checkpoint(
    log: Log, checkpoint: Path, position: int
) -> None:
    log.tamper(
        f"DELETE FROM stored_events WHERE notification_id >= {position}",
        f"DELETE FROM event_chain WHERE position >= {position}",
    )
    assert log.run("verify").status == 0
    told = log.run("verify", "--checkpoint", checkpoint)
    assert told.status == 1
    assert f"positions {position} to 20: the chain ends before that, and was there once" in told.out


def test_what_the_chain_once_told_is_remembered(log: Log) -> None:
    log.backend.parts.report("chain", position=20)
    log.tamper("DELETE FROM stored_events WHERE notification_id > 18", "DELETE FROM event_chain WHERE position > 18")
    told = log.run("verify")
    assert told.status == 1
    assert "positions 19 to 20: the chain ends before that" in told.out


def test_the_checkpoint_of_another_installation_is_refused(checkpoint: Path, make_log: Callable[[], Log]) -> None:
    other = make_log()
    other.write(3)
    other.chain.complete()
    assert "it is of installation" in other.run("verify", "--checkpoint", checkpoint).err
