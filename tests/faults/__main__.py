"""The long form of the harness, by hand; `ops/bench/soak` calls it."""

import argparse
import random
import sys
import time
from functools import partial
from pathlib import Path

from tests.faults.engine import why_not
from tests.faults.harness import soak


def main() -> int:
    """Soak, print what was done and found, and fail when something did not hold."""
    options = _parse()
    if reason := why_not():
        sys.exit(f"soak: {reason}")
    say = partial(print, file=sys.stderr, flush=True)
    say(f"seed {options.seed}")
    ends = time.monotonic() + 60 * options.minutes
    report = soak(
        options.seed,
        is_enough=lambda rounds: rounds >= options.rounds if options.rounds else time.monotonic() > ends,
        faults_of_round=options.faults,
        only=options.only,
        say=say,
        logs=options.logs,
    )
    sys.stdout.write(f"{report.as_json() if options.json else report.as_text()}\n")
    return 1 if report.violations else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="soak",
        description="Lets random users work on an installation of nine processes while everything breaks, and checks "
        "after each round that record and world agree. Exit status 1 when something did not hold.",
    )
    parser.add_argument("--minutes", type=float, default=10, help="how long, but for the last round (default: 10)")
    parser.add_argument("--rounds", type=int, default=0, help="so many rounds, in place of --minutes")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeat the choices of another run")
    parser.add_argument("--faults", type=int, default=8, help="faults of a round (default: 8)")
    parser.add_argument(
        "--only", nargs="*", default=(), metavar="KIND", help="kinds of fault, by the beginnings of their names"
    )
    parser.add_argument("--logs", type=Path, help="a folder to which the logs of all processes are copied in the end")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the text")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
