"""The long form of a burst over several replicas, by hand; `ops/bench/scale_out` calls it."""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.scale.installation import Size
from tests.scale.run import Outcome, run
from tests.scale.shape import COLUMNS


def main(draw: Callable[[Path, list[Outcome]], None]) -> int:
    """Send the bursts, print what became of them, and fail when something does not hold.

    Args:
        draw: makes pictures of outcomes in a folder.
    """
    options = _parse()
    signal.signal(signal.SIGTERM, _end)  # so that nothing is left running
    say = partial(print, file=sys.stderr, flush=True)
    outcomes = [
        run(size, options.requests, options.seconds, say) for _ in range(options.rounds) for size in _sizes(options)
    ]
    for outcome in outcomes:
        sys.stdout.write(f"\n{_told(outcome)}\n")
    if options.json:
        options.json.write_text(json.dumps([outcome.as_json() for outcome in outcomes]) + "\n")
    if options.pictures:
        draw(options.pictures, outcomes)
    return 1 if any(outcome.violations for outcome in outcomes) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scale_out",
        description="Sends a burst of requests for desktops to an installation of several replicas of the API and "
        "several provisioners of one target, whose containers live in memory. Clients who are told to come back later "
        "do so. In the end quotas, record, world, stream, connections and rebuilds must agree, and each request must "
        "have one container or a refusal; then all containers end, and all must agree again. Exit status 1 if not.",
    )
    parser.add_argument("--requests", type=int, default=10_000, help="of one burst (default: 10000)")
    parser.add_argument("--seconds", type=float, default=10, help="in which they are sent (default: 10)")
    parser.add_argument("--users", type=int, default=2500, help="who send them in turn (default: 2500)")
    parser.add_argument(
        "--replicas", type=int, nargs="+", default=[3], metavar="N", help="replicas of the API, a burst for each number"
    )
    parser.add_argument("--provisioners", type=int, help="of the target (default: as many as replicas)")
    parser.add_argument("--rounds", type=int, default=1, help="of all bursts in turn (default: 1)")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="for pictures of the queue and of the times")
    parser.add_argument("--json", type=Path, help="a file for the figures, with the queue at each second")
    return parser.parse_args()


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _sizes(options: argparse.Namespace) -> list[Size]:
    return [Size(replicas=n, provisioners=options.provisioners or n, users=options.users) for n in options.replicas]


def _told(outcome: Outcome) -> str:
    """The figures, and the queue at some moments."""
    hidden = {"moments", "latencies", "size"}
    size = outcome.size
    lines = [f"{size.replicas} replicas, {size.provisioners} provisioners, {size.users} users"]
    lines += [f"  {name}: {value}" for name, value in outcome.as_json().items() if name not in hidden]
    lines.append("  second " + " ".join(f"{column:>9}" for column in COLUMNS))
    for moment in outcome.moments[:: max(1, len(outcome.moments) // 20)]:
        lines.append(f"  {moment.second:6.0f} " + " ".join(f"{getattr(moment, column):9}" for column in COLUMNS))
    return "\n".join(lines)
