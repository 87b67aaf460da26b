"""Two workers run the tests beside each other: what needs the one engine of the machine in turn, all else file by file.

This is so where pytest has `-n`, as `ops/test` gives it for the whole.
"""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # the library has no types

# what begins something that stays until the end, an installation or a cluster, comes last
_ON_THE_ENGINE = (
    "tests/faults/",
    "tests/upgrade/",
    "tests/runtimes/test_docker",
    "tests/images/",
    "tests/backups/test_restored_system.py",
    "tests/erasure/",
    "tests/acceptance/",
    "tests/runtimes/test_kubernetes.py",
    "tests/runtimes/test_kubernetes_node.py",
)
_NEEDS_ENGINE = {"docker", "kubernetes"}


class Lanes(LoadFileScheduling):  # type: ignore[misc]  # as above
    """Gives a worker all that needs the engine, and each worker without work another file."""

    def _split_scope(self, nodeid: str) -> str:
        return "engine" if nodeid.startswith(_ON_THE_ENGINE) else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:  # noqa: ANN401 - made by the plugin for itself
    """Make what shares the tests out, in the order in which they were collected."""
    config.option.loadscopereorder = False
    return Lanes(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what takes longest first, so that both workers end at one time; nothing may be in the wrong lane."""
    for item in items:
        needs = _NEEDS_ENGINE & {mark.name for mark in item.iter_markers()}
        if needs and not item.nodeid.startswith(_ON_THE_ENGINE):
            raise pytest.UsageError(f"{item.nodeid} needs {needs}: its file or folder belongs into tests/lanes.py")
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: (_turn(item.nodeid), item.path not in slow))


def _turn(nodeid: str) -> int:
    turns = (number for number, start in enumerate(_ON_THE_ENGINE) if nodeid.startswith(start))
    return next(turns, len(_ON_THE_ENGINE))
