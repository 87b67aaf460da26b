"""A part for the supervisor's tests: tells a file what happens to it, and behaves as its arguments say.

part.py FILE NAME [well|crash|give_up|stubborn|worker|yielding]
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from calipso.supervisor import watch_parent


def main(file: Path, name: str, behaviour: str) -> None:
    watch_parent(niceness=5 if behaviour == "yielding" else 0)

    def tell(what: str) -> None:
        with file.open("a") as out:
            out.write(f"{what} {name} {os.getpid()} {time.monotonic()}\n")

    def end(_number: int, _frame: object) -> None:
        tell("stop")
        if behaviour != "stubborn":
            sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    if behaviour == "worker":
        worker = subprocess.Popen(["sleep", "86400"])
        with file.open("a") as out:
            out.write(f"worker {name} {worker.pid} {time.monotonic()}\n")
    tell("start")
    if behaviour in {"crash", "give_up"}:
        sys.exit(os.EX_CONFIG if behaviour == "give_up" else 1)
    while True:
        signal.pause()


main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "well")
