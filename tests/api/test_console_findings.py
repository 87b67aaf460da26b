"""What the page of health says of each part, and what it tells to do."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from calipso.api.console import findings
from calipso.api.console.findings import Finding, of_all
from calipso.api.described_targets import DescribedTarget
from calipso.api.health import Health, PartHealth
from calipso.events.values import Runtime
from calipso.projections.runner import PoisonEvent

WELL = PartHealth(name="containers", ok=True, detail="", position=7, lag=0)
NEVER = PartHealth(name="containers", ok=False, detail="has never told of itself", position=0, lag=7, is_silent=True)
AWAY = PartHealth(name="containers", ok=False, detail="a database does not answer: timed out", position=3, lag=4)
TARGET = DescribedTarget(
    name="docker-a", runtime=Runtime.DOCKER, cordoned=False, held=3, capacity=8, ok=True,
    at=datetime(2026, 11, 25, tzinfo=UTC), detail="",
)  # fmt: skip
HEALTH = Health(
    store=replace(WELL, name="store"),
    relay=WELL,
    chain=WELL,
    projections=[WELL],
    targets=[replace(WELL, name="docker-a")],
)


def told(finding: Finding) -> tuple[str, bool]:
    return finding.state, finding.is_well


def all_of(health: Health, trouble: str = "", dead: int = 0) -> dict[str, Finding]:
    found = of_all(health, [TARGET], trouble, dead)
    return {finding.name: finding for each in found.values() for finding in each}


def test_all_is_well() -> None:
    found = all_of(HEALTH)
    names = ["Event store", "NATS", "Relay", "Chain of hashes", "Dead letters", "containers", "docker-a"]
    assert list(found) == names
    assert all(finding.is_well and not finding.remedy for finding in found.values())
    assert all(finding.sentence.endswith(".") for finding in found.values())


def test_without_a_store_nothing_is_said_of_the_rest() -> None:
    store = PartHealth(name="store", ok=False, detail="the event store is not available: refused")
    found = all_of(replace(HEALTH, store=store), "refused")
    assert {name: told(finding) for name, finding in found.items()} == {
        "Event store": ("away", False),
        "NATS": ("away", False),
    }
    assert "CALIPSO_DATABASE_URL" in found["Event store"].remedy
    assert "CALIPSO_NATS_URL" in found["NATS"].remedy


def test_a_projection_that_stopped_names_the_event_and_how_it_is_resumed() -> None:
    detail = str(PoisonEvent(42, "event 1-2-3 at position 42 cannot be read: too new"))
    found = findings.of_projection(replace(AWAY, detail=detail))
    assert (*told(found), found.stopped_at) == ("stopped", False, 42)
    assert "stopped before position 42" in found.sentence
    assert "every 30 s" in found.remedy
    assert "`calipso rebuild containers`" in found.remedy
    assert found.numbers == {"position": "3", "lag": "4"}


def test_one_that_waits_for_its_database_says_so() -> None:
    found = findings.of_projection(AWAY)
    assert (*told(found), found.stopped_at) == ("waits", False, None)
    assert found.sentence == "A database does not answer: timed out."
    assert "by itself" in found.remedy


@pytest.mark.parametrize(
    ("of", "command"),
    [
        (findings.of_relay, "`calipso relay`"),
        (findings.of_chain, "`calipso project`"),
        (findings.of_projection, "`calipso project`"),
        (lambda part: findings.of_target(TARGET, part), "`calipso provision docker-a`"),
    ],
)
def test_who_is_silent_is_to_be_started(of: "object", command: str) -> None:
    found = of(NEVER)  # type: ignore[operator]  # one of those above
    assert told(found) == ("silent", False)
    assert found.sentence.startswith("It has never told of itself. ")
    assert command in found.remedy


@pytest.mark.parametrize("of", [findings.of_relay, findings.of_chain, findings.of_projection])
def test_who_is_far_behind_is_not_well(of: "object") -> None:
    found = of(replace(WELL, lag=10_001))  # type: ignore[operator]  # one of those above
    assert told(found) == ("behind", False)
    assert "10001 positions behind" in found.sentence


def test_a_relay_or_chain_in_trouble_says_which() -> None:
    assert "NATS is not available" in findings.of_relay(replace(AWAY, detail="NATS is not available: refused")).sentence
    assert "`calipso verify`" in findings.of_chain(replace(AWAY, detail="a hash differs")).remedy


@pytest.mark.parametrize(
    ("target", "state", "words"),
    [
        (TARGET, "open", "with 5 free slots"),
        (replace(TARGET, held=8), "full", "All its slots are taken"),
        (replace(TARGET, held=8, cordoned=True), "cordoned", "takes no new containers"),
    ],
)
def test_a_target_says_whether_there_is_room(target: DescribedTarget, state: str, words: str) -> None:
    found = findings.of_target(target, WELL)
    assert told(found) == (state, True)
    assert words in found.sentence
    assert found.numbers == {"runtime": "docker_container", "held": f"{target.held} of 8"}


def test_a_target_that_does_not_answer_says_what_its_provisioner_told() -> None:
    found = findings.of_target(TARGET, replace(AWAY, detail="the engine does not answer"))
    assert told(found) == ("in trouble", False)
    assert "the engine does not answer" in found.sentence
    assert "`calipso targets cordon docker-a`" in found.remedy


@pytest.mark.parametrize(("number", "words"), [(1, "One message was given up"), (3, "3 messages were given up")])
def test_dead_letters_are_counted(number: int, words: str) -> None:
    found = findings.of_dead_letters(number)
    assert (*told(found), found.sentence.startswith(words)) == (str(number), False, True)
