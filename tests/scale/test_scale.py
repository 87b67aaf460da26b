"""A burst over replicas in small: each request has one container or a refusal, and all agrees in the end."""

from tests.scale.installation import LIMIT, Size
from tests.scale.run import run


def test_two_replicas_and_two_provisioners_answer_each_request_once() -> None:
    outcome = run(Size(replicas=2, provisioners=2, users=30), requests=150, within=1)
    assert outcome.violations == []
    assert outcome.outcomes == {"accepted": 30 * LIMIT, "refused": 150 - 30 * LIMIT}
    assert outcome.moments[-1].done == outcome.moments[-1].accepted == 30 * LIMIT
    assert max(moment.running for moment in outcome.moments) > 0
    assert len(outcome.latencies) == 30 * LIMIT
    # of a kind that did little it may be less than one tick of the clock
    assert outcome.cpu_seconds.keys() >= {"api", "provision", "project", "relay", "postgres", "nats"}
    assert sum(outcome.cpu_seconds.values()) > 0
