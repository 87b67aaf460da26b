"""What a Docker Engine is told, without one."""

from dataclasses import replace

import pytest
from tests.runtimes.orders import image, order

from calipso.events.values import Resources
from calipso.runtimes.docker.order import Limits, host_settings

LIMITS = Limits(processes=1, log_bytes=1, publish_address="127.0.0.1")


@pytest.mark.parametrize(
    ("millicores", "told"),
    [
        (0, {"nano_cpus": 0}),
        (1, {"cpu_period": 1_000_000, "cpu_quota": 1_000}),
        (100, {"cpu_period": 1_000_000, "cpu_quota": 100_000}),
        (250, {"cpu_period": 400_000, "cpu_quota": 100_000}),
        (999, {"cpu_period": 100_100, "cpu_quota": 99_999}),
        (1000, {"nano_cpus": 10**9}),
        (9000, {"nano_cpus": 4 * 10**9}),
    ],
)
def test_less_than_a_processor_comes_in_turns_of_a_tenth_of_a_second(millicores: int, told: dict[str, int]) -> None:
    wanted = order(replace(image("tiny"), resources=Resources(millicores=millicores)))
    settings = host_settings(wanted, LIMITS, processors=4, network="net")
    assert {name: value for name, value in settings.items() if "cpu" in name} == told
