"""The simulation of growth says what was measured, and what must follow from its assumptions."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.scale.growth import Cost, Part, Plan, simulate
from tests.scale.plans import FACTOR, burst_of, cost_of, one_machine

MEASURED: dict[str, Any] = json.loads((Path(__file__).parents[2] / "ops" / "bench" / "measured.json").read_text())
COST = Cost(cpu={"api": 0.01, "project": 0.005}, append=0.001)
TWO = Plan(
    name="two cores", cores={"a": 2}, parts={"api": Part(number=8, machine="a"), "project": Part(number=1, machine="a")}
)


def rate(plan: Plan, cost: Cost = COST) -> float:
    return simulate(plan, cost, [0.0] * 2000).per_second


@pytest.mark.parametrize("burst", MEASURED["bursts"], ids=lambda burst: f"{burst['size']['replicas']} replicas")
def test_one_machine_is_predicted_by_what_another_burst_took(burst: dict[str, Any]) -> None:
    others = [each for each in MEASURED["bursts"] if each is not burst]
    for other in others:
        plan = one_machine(burst, MEASURED)
        predicted = simulate(plan, cost_of(other, MEASURED), burst_of(burst)).per_second
        assert 1 / FACTOR < predicted / burst["containers_per_second"] < FACTOR


def test_a_machine_gives_no_more_than_its_cores() -> None:
    assert rate(TWO) == pytest.approx(2 / 0.015, rel=0.1)
    assert rate(replace(TWO, cores={"a": 1})) == pytest.approx(1 / 0.015, rel=0.1)


def test_a_part_that_there_is_once_bounds_any_number_of_machines() -> None:
    wide = replace(TWO, cores={"a": 100})
    assert rate(wide) == pytest.approx(1 / 0.005, rel=0.1)


def test_the_lock_of_a_store_bounds_all_and_two_stores_bear_twice_as_much() -> None:
    cost = Cost(cpu={"api": 0.001}, append=0.01)
    plan = Plan(name="many", cores={"a": 100}, parts={"api": Part(number=100, machine="a")})
    assert rate(plan, cost) == pytest.approx(100, rel=0.1)
    assert rate(replace(plan, stores=2), cost) == pytest.approx(200, rel=0.1)


def test_whoever_comes_to_idle_machines_waits_for_nothing() -> None:
    seen = simulate(TWO, COST, [float(second) for second in range(500)])
    assert seen.p50 < 2 * 0.016
    assert 0 < seen.used["machine a"] < 0.02
