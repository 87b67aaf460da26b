"""The sentences of events: there is one for each, and it names who and what in words."""

from uuid import UUID

import pytest
from tests.events.samples import EXPERIMENT, IMAGE, SAMPLES, USER

from calipso.events.envelope import EVENT_TYPES, Event, Unreadable
from calipso.events.telling import SENTENCES, tell, told_actor


class Known:
    """The names of the samples."""

    def user(self, user_id: UUID) -> str:
        return "ada" if user_id == USER else str(user_id)

    def experiment(self, experiment_id: UUID) -> str:
        return "P2025-17" if experiment_id == EXPERIMENT else str(experiment_id)

    def image(self, image_id: UUID) -> str:
        return "desktop" if image_id == IMAGE else str(image_id)


def said(stem: str, actor: str = "service:command-line") -> str:
    return tell(SAMPLES[stem], actor, Known())


def test_every_event_has_a_sentence() -> None:
    assert set(EVENT_TYPES.values()) == set(SENTENCES) - {Unreadable}, "add a line to SENTENCES"


@pytest.mark.parametrize("event", SAMPLES.values(), ids=SAMPLES)
def test_a_sentence_has_names_and_an_end(event: Event) -> None:
    sentence = tell(event, f"user:{USER}", Known())
    assert sentence.endswith(".")
    assert len(sentence.split()) > 3
    assert type(event).__name__ not in sentence
    # an erasure has left no name
    assert str(USER) not in sentence or "erased" in sentence
    assert str(EXPERIMENT) not in sentence
    assert str(IMAGE) not in sentence


@pytest.mark.parametrize(
    ("stem", "sentence"),
    [
        (
            "calipso.container.ContainerRequested.v1",
            (
                "The command line asked for container 22222222 of desktop for ada beside session S1 of P2025-17, to "
                "run on docker-a with 2.5 processors, 3 GiB of memory and 20 GiB of disk."
            ),
        ),
        (
            "calipso.refusals.ContainerRequestRefused.v1",
            (
                "ada was refused a container of desktop (S1), because they would have had too much memory: with 4 "
                "containers, 4 processors, 28 GiB of memory and 10 GiB of disk of at most 5 containers, 10 processors, "
                "30 GiB of memory and 80 GiB of disk."
            ),
        ),
        ("calipso.experiment.MemberAdded.v1", "The command line made ada a member of P2025-17."),
        ("calipso.user.RoleRevoked.v1", "The command line took the role of an auditor from ada."),
        ("calipso.container.ContainerFailed.v1", "Container 22222222 of ada failed (crashed): exit code 1."),
    ],
)
def test_what_a_sentence_says(stem: str, sentence: str) -> None:
    assert said(stem) == sentence


def test_whoever_asks_for_themselves_is_named_once() -> None:
    sentence = tell(SAMPLES["calipso.container.ContainerRequested.v1"], f"user:{USER}", Known())
    assert sentence.startswith("ada asked for container 22222222 of desktop beside session S1")


def test_an_event_of_a_newer_program_is_told_by_its_topic() -> None:
    event = Unreadable(stored_topic="calipso.user.UserDreamed", reason="unknown event type", data={})
    assert "calipso.user.UserDreamed" in tell(event, f"user:{USER}", Known())


@pytest.mark.parametrize(
    ("actor", "told"),
    [
        (f"user:{USER}", "ada"),
        ("user:nobody", "user:nobody"),
        ("provisioner:docker-a", "the provisioner of docker-a"),
        ("reconciler:docker-a", "the reconciler of docker-a"),
        ("service:provider", "the provider of experiments"),
        ("service:test", "service:test"),
        ("", "somebody"),
    ],
)
def test_actors_in_words(actor: str, told: str) -> None:
    assert told_actor(actor, Known()) == told
