"""`calipso provision TARGET`, but for the runtime: its containers live in a world in memory.

python -m tests.scale.provisioner TARGET
"""

import sys

from tests.scale.world import DistantRuntime

from calipso.backend import Backend
from calipso.bootstrap import provisioning
from calipso.cli.processes import NICENESS_OF_MAKING, run, serving
from calipso.runtimes.protocol import Target


def main() -> None:
    """Serve the target until told to end."""
    with serving(None, niceness=NICENESS_OF_MAKING) as backend:
        run(provisioning.provision(backend, sys.argv[1], make_runtime=_runtime))


def _runtime(backend: Backend, target: Target) -> DistantRuntime:
    return DistantRuntime(target, str(backend.installation.id))


if __name__ == "__main__":
    main()
