"""The steps by which an installation grows, from one machine to many sites, and what the simulation says of each."""

import argparse
import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from tests.scale.growth import Cost, Part, Plan, Prediction, simulate

FACTOR = 2  # within which one burst on one machine is predicted by what another took, while others used it too
_KINDS = ("load generator", "api", "postgres", "relay", "nats", "provision", "world", "project")
_MANY = 1000
_CONTAINERS = 5000
_FULL = 0.7  # of a core; beyond it waits grow steeply


def cost_of(burst: Mapping[str, Any], measured: Mapping[str, Any]) -> Cost:
    """What one container took in a burst."""
    containers = burst["outcomes"]["accepted"] + burst["outcomes"].get("accepted before", 0)
    cpu = {kind: burst["cpu_seconds"][kind] / containers for kind in _KINDS if kind in burst["cpu_seconds"]}
    return Cost(cpu=cpu, append=burst["commands_per_container"] / measured["store_commands_per_second"])


def burst_of(burst: Mapping[str, Any]) -> list[float]:
    """The seconds at which the containers of a burst were asked for."""
    containers = burst["outcomes"]["accepted"] + burst["outcomes"].get("accepted before", 0)
    return [number * burst["within"] / containers for number in range(containers)]


def one_machine(burst: Mapping[str, Any], measured: Mapping[str, Any]) -> Plan:
    """The machine of the burst, with as many of each as it had."""
    size = burst["size"]
    numbers = {"api": size["replicas"], "provision": size["provisioners"], "postgres": _MANY, "nats": _MANY}
    parts = {kind: Part(number=numbers.get(kind, 1), machine="all") for kind in _KINDS}
    return Plan(name="the machine of the burst", cores={"all": measured["cores"]}, parts=parts)


def plans() -> Iterator[Plan]:
    """From one small machine to several facilities, each with what bounds it moved out of the way of the one before."""
    ours = ("api", "postgres", "relay", "nats", "provision", "project")
    numbers = {"postgres": _MANY, "nats": _MANY}

    def together(name: str, cores: int, replicas: int) -> Plan:
        many = {**numbers, "api": replicas, "provision": replicas}
        return Plan(
            name=name, cores={"all": cores}, parts={k: Part(number=many.get(k, 1), machine="all") for k in ours}
        )

    def apart(name: str, replicas: int, stores: int) -> Plan:
        many = {**numbers, "api": replicas, "provision": replicas, "relay": stores, "project": stores}
        machines = {"api": "api", "provision": "api", "relay": "behind", "nats": "behind", "project": "behind"}
        parts = {k: Part(number=many.get(k, 1), machine=machines.get(k, "store")) for k in ours}
        cores = {"api": 4 * replicas, "behind": 8 * stores, "store": 8 * stores}
        return Plan(name=name, cores=cores, parts=parts, stores=stores)

    yield together("one machine, 2 cores", 2, 1)
    yield together("one machine, 8 cores, 3 replicas", 8, 3)
    yield apart("Kubernetes: 6 replicas, projector and store apart", 6, 1)
    yield apart("4 facilities, a store and a projector each", 24, 4)
    yield apart("16 facilities, a store and a projector each", 96, 16)


def bears(plan: Plan, cost: Cost) -> tuple[float, Prediction]:
    """How many containers a second a plan bears for long, and what it is like then.

    That is seven tenths of what it does when all are asked for at once.
    """
    per_second = _FULL * simulate(plan, cost, [0.0] * _CONTAINERS).per_second
    chance = random.Random(2)
    arrivals = list(accumulate(chance.expovariate(per_second) for _ in range(_CONTAINERS)))
    return per_second, simulate(plan, cost, arrivals)


def _total(burst: Mapping[str, Any]) -> float:
    return float(sum(burst["cpu_seconds"].values())) / len(burst_of(burst))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what each plan bears, and what bounds it."""
    parser = argparse.ArgumentParser(
        prog="simulate_growth",
        description="Says how many containers a second each step of growth bears, and what bounds it; see "
        "docs/scaling.md. The parameters are figures of ops/bench/scale_out.",
    )
    parser.add_argument("--measured", type=Path, required=True, help="the file of the parameters")
    options = parser.parse_args(arguments)
    measured = json.loads(options.measured.read_text())
    cost = cost_of(min(measured["bursts"], key=_total), measured)
    out = [f"{'':52} containers/s   p50 s   p99 s  busiest"]
    for plan in plans():
        per_second, seen = bears(plan, cost)
        busiest = max(seen.used, key=lambda name: seen.used[name])
        figures = f"{per_second:12.0f} {seen.p50:7.3f} {seen.p99:7.3f}"
        out.append(f"{plan.name:52} {figures}  {busiest} ({seen.used[busiest]:.0%})")
    sys.stdout.write("\n".join(out) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
