"""The bounded form of the harness: some rounds of users and faults, with a seed that is told."""

import os
import random

import pytest
from tests.faults.engine import why_not
from tests.faults.harness import soak

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROUNDS = 2


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_record_and_world_agree_after_every_round() -> None:
    seed = int(os.environ.get("CALIPSO_TEST_SEED", random.randrange(10**6)))
    print(f"seed {seed}: CALIPSO_TEST_SEED={seed} repeats these choices")  # noqa: T201 - shown when it fails
    report = soak(seed, is_enough=lambda rounds: rounds >= ROUNDS)
    print(report.as_text())  # noqa: T201 - as above
    assert report.violations == []
    assert len(report.converged) == ROUNDS
    assert report.faults.total() > ROUNDS
    assert report.started > 0
