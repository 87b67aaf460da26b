"""What a run of the harness tells."""

import json
from collections import Counter

from tests.faults.report import Report


def test_the_object_has_these_keys_and_no_others() -> None:
    report = Report(
        seed=7,
        operations=Counter({"run 201": 2, "rm 200": 1}),
        accepted=2,
        faults=Counter({"process killed": 3}),
        converged=[1.0, 2.0, 3.0],
    )
    assert json.loads(report.as_json()) == {
        "seed": 7,
        "operations": 3,
        "accepted": 2,
        "faults": {"process killed": 3},
        "violations": [],
        "converged_p50_s": 2.0,
        "converged_p99_s": 2.98,
    }


def test_without_a_round_there_is_no_time() -> None:
    assert json.loads(Report(seed=1).as_json())["converged_p99_s"] is None


def test_the_text_tells_every_violation() -> None:
    text = Report(seed=1, violations=["round 1: a container is left"]).as_text()
    assert "violations 1\n  round 1: a container is left" in text
