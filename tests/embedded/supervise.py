"""A supervisor for its tests: `supervise.py FILE NAME=BEHAVIOUR...`, with a bad tick when FILE.bad exists."""

import sys
from pathlib import Path

from calipso.supervisor import Supervisor


def main(file: Path, parts: dict[str, str]) -> int:
    def tick() -> None:
        if file.with_suffix(".bad").exists():
            raise RuntimeError("a bad tick")

    script = str(Path(__file__).with_name("part.py"))
    argvs = {name: [sys.executable, script, str(file), name, behaviour] for name, behaviour in parts.items()}
    return Supervisor(argvs, {}, tick).run()


sys.exit(main(Path(sys.argv[1]), dict(word.split("=") for word in sys.argv[2:])))
