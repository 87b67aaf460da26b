"""What is well and what is not, each with a sentence that says so and one that says what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calipso.api.described_targets import DescribedTarget
from calipso.api.health import Health, PartHealth
from calipso.projections.registry import GUACAMOLE
from calipso.projections.runner import stopped_at

_FAR_BEHIND = 10_000  # what does not concern a projection may wait until there is so much of it


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How a part is.

    `state` is a word, `sentence` says what it means, and `remedy` what to do, empty when there is nothing; `stopped_at`
    is the position of the event on which the part stands still. `numbers` stand beside it, by their names.
    """

    name: str
    state: str
    is_well: bool
    sentence: str
    remedy: str = ""
    stopped_at: int | None = None
    numbers: Mapping[str, str]


def of_store(part: PartHealth) -> Finding:
    """The event store."""
    if part.ok:
        sentence = f"It answers. The newest event is at position {part.position}."
        return Finding(name="Event store", state="well", is_well=True, sentence=sentence, numbers={})
    return Finding(
        name="Event store",
        state="away",
        is_well=False,
        sentence=f"It does not answer: {part.detail}. Requests are answered with 503, and nothing is half done.",
        remedy="Look at the PostgreSQL that CALIPSO_DATABASE_URL names. What runs is not touched by this.",
        numbers={},
    )


def of_nats(trouble: str) -> Finding:
    """NATS, as it answers this process; `trouble` is empty when it does."""
    if not trouble:
        return Finding(name="NATS", state="well", is_well=True, sentence="It answers.", numbers={})
    return Finding(
        name="NATS",
        state="away",
        is_well=False,
        sentence=f"It does not answer: {trouble}. Requests are accepted, and their containers begin when it is back.",
        remedy="Look at the server that CALIPSO_NATS_URL names. Nothing is lost: the store has every event.",
        numbers={},
    )


def of_relay(part: PartHealth) -> Finding:
    """What publishes the events."""
    name = "Relay"
    if part.is_silent:
        return _silent(name, part, "Events are not published, so no container begins.", "calipso relay")
    if not part.ok:
        return Finding(
            name=name,
            state="waits",
            is_well=False,
            sentence=f"It cannot publish: {part.detail}.",
            remedy="It tries again by itself, and goes on where it was.",
            numbers=_numbers(part),
        )
    return _following(name, part, "Every event is published.")


def of_chain(part: PartHealth) -> Finding:
    """What chains the events by hash."""
    name = "Chain of hashes"
    if part.is_silent:
        return _silent(
            name, part, "New events are not chained, so `calipso verify` cannot prove them.", "calipso project"
        )
    if not part.ok:
        return Finding(
            name=name,
            state="stopped",
            is_well=False,
            sentence=f"It stands still: {part.detail}.",
            remedy="`calipso verify` names the first event that is not what it was; docs/proof.md says what then.",
            numbers=_numbers(part),
        )
    return _following(name, part, "Every event is chained.")


def of_projection(part: PartHealth) -> Finding:
    """A read model, or Guacamole's tables."""
    if part.is_silent:
        return _silent(part.name, part, "It does not follow; what it shows is old.", "calipso project")
    if part.ok:
        return _following(part.name, part, "It shows every event that concerns it.")
    position = stopped_at(part.detail)
    if position is None:
        return Finding(
            name=part.name,
            state="waits",
            is_well=False,
            sentence=f"{_begin(part.detail)}.",
            remedy="It tries again every second, and goes on by itself when the database answers."
            + (" Desktops that run are reached as before." if part.name == GUACAMOLE else ""),
            numbers=_numbers(part),
        )
    return Finding(
        name=part.name,
        state="stopped",
        is_well=False,
        sentence=f"It {part.detail}. It alone stands still, and nothing is skipped.",
        remedy="It tries this event again every 30 s: mend the cause (most often the newer program must run "
        f"here), and it goes on by itself. If its rows were wrong, `calipso rebuild {part.name}` makes them anew.",
        stopped_at=position,
        numbers=_numbers(part),
    )


def of_target(target: DescribedTarget, part: PartHealth) -> Finding:
    """A target: what its provisioner told, and whether there is room."""
    numbers = {"runtime": target.runtime.value, "held": f"{target.held} of {target.capacity}"}
    name = target.name
    if part.is_silent:
        command = f"calipso provision {name}"
        return _silent(name, part, "Nothing begins or ends there.", command, numbers=numbers)
    if not part.ok:
        return Finding(
            name=name,
            state="in trouble",
            is_well=False,
            sentence=f"Its provisioner says: {part.detail}.",
            remedy="What runs there is left alone meanwhile; a target that does not answer proves nothing. "
            f"`calipso targets cordon {name}` keeps new containers away from it.",
            numbers=numbers,
        )
    return _working(target, part, numbers)


def _working(target: DescribedTarget, part: PartHealth, numbers: Mapping[str, str]) -> Finding:
    name, told = target.name, f" Its provisioner says: {part.detail}." if part.detail else ""
    if target.cordoned:
        sentence = f"It takes no new containers, as somebody ordered; what runs there runs on.{told}"
        remedy = f"`calipso targets open {name}` lets it take containers again."
        return Finding(name=name, state="cordoned", is_well=True, sentence=sentence, remedy=remedy, numbers=numbers)
    if target.held >= target.capacity:
        sentence = f"All its slots are taken; further requests wait until one is free, or until the run limit.{told}"
        remedy = "If this is often so, give the target a greater capacity in the settings, or add another one."
        return Finding(name=name, state="full", is_well=True, sentence=sentence, remedy=remedy, numbers=numbers)
    sentence = f"It is open, with {target.capacity - target.held} free slots.{told}"
    return Finding(name=name, state="open", is_well=True, sentence=sentence, numbers=numbers)


def of_dead_letters(number: int) -> Finding:
    """Messages that were given up."""
    if not number:
        sentence = "No message was given up."
        return Finding(name="Dead letters", state="none", is_well=True, sentence=sentence, numbers={})
    what = "One message was" if number == 1 else f"{number} messages were"
    return Finding(
        name="Dead letters",
        state=str(number),
        is_well=False,
        sentence=f"{what} given up after bounded tries; what they ask for is not done.",
        remedy="Look at the reason of each, mend the cause, and retry it.",
        numbers={},
    )


def of_all(
    health: Health, targets: Sequence[DescribedTarget], trouble: str, dead_letters: int
) -> Mapping[str, Sequence[Finding]]:
    """Every finding, by the headings under which they stand; without a store nothing is known of the rest.

    Args:
        health: how every part is.
        targets: those of the settings.
        trouble: what NATS tells this process, empty when it answers.
        dead_letters: their number.
    """
    found = {"Store and messages": [of_store(health.store), of_nats(trouble)]}
    if not health.store.ok:
        return found
    found["Store and messages"] += [of_relay(health.relay), of_chain(health.chain), of_dead_letters(dead_letters)]
    told = {part.name: part for part in health.targets}
    return found | {
        "Projections": [of_projection(part) for part in health.projections],
        "Targets": [of_target(target, told[target.name]) for target in targets],
    }


def _silent(
    name: str, part: PartHealth, sentence: str, command: str, *, numbers: Mapping[str, str] | None = None
) -> Finding:
    return Finding(
        name=name,
        state="silent",
        is_well=False,
        sentence=f"It {part.detail}. {sentence}",
        remedy=f"Start `{command}` (or `calipso serve`), and look at its log; it may be unable to reach the database.",
        numbers=_numbers(part) if numbers is None else numbers,
    )


def _following(name: str, part: PartHealth, sentence: str) -> Finding:
    if (part.lag or 0) <= _FAR_BEHIND:
        return Finding(name=name, state="well", is_well=True, sentence=sentence, numbers=_numbers(part))
    return Finding(
        name=name,
        state="behind",
        is_well=False,
        sentence=f"It works, and is {part.lag} positions behind.",
        remedy="Wait, and load this page again: the lag must become less. If not, the machine is too slow for it.",
        numbers=_numbers(part),
    )


def _numbers(part: PartHealth) -> Mapping[str, str]:
    told = {"position": part.position, "lag": part.lag}
    return {name: str(value) for name, value in told.items() if value is not None}


def _begin(text: str) -> str:
    """A text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]
