"""Looks at the folders of volumes where they are, as the account that is to use them, and makes the missing ones.

On this host a program of its own does it, which can be given up when a file system does not answer; elsewhere
`script.py` does it in a container.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Self

from calipso.commands.volumes import is_below
from calipso.events.values import FailureReason, Identity, Volume
from calipso.runtimes.folders.asking import Asked, DeadError
from calipso.runtimes.protocol import RuntimeFailed

SECONDS = 10
PROGRAM = Path(__file__).with_name("program.py")
# without the packages of this installation it is there in a moment
_HERE = (sys.executable, "-I", "-S", str(PROGRAM))


def root_of(source: str, roots: Iterable[str]) -> str:
    """The innermost folder below which a volume's source lies; empty when it lies below none of them."""
    return max((root for root in roots if is_below(source, root)), key=len, default="")


def make_folders(
    volumes: Sequence[Volume],
    identity: Identity,
    roots: Sequence[str],
    *,
    seconds: float = SECONDS,
    program: Sequence[str] = _HERE,
) -> None:
    """Make the folders below the roots that are missing, as `Looker.make_folders` does.

    Args:
        volumes: whose sources are wanted.
        identity: the account that looks at them, and gets a folder that was missing.
        roots: folders below which missing folders are made.
        seconds: the time until a folder counts as dead.
        program: runs the program; on another host where it leads there.

    Raises:
        RuntimeFailed: a folder cannot be made or does not answer, or a link leads out of its root.
    """
    with Looker(volumes, identity, roots, seconds=seconds, program=program) as looker:
        looker.make_folders()


class Looker:
    """Looks at the folders of a container, by one program that it asks as often as need be: it takes longer to begin.

    Args:
        volumes: whose sources are looked at; what lies below none of the roots must be there, and is only touched.
        identity: the account that looks at them, and gets a folder that was missing; root helps where it may.
        roots: folders below which missing folders are made, and out of which no link may lead; made too when missing.
        seconds: the time until a folder counts as dead.
        program: runs the program; on another host where it leads there.
    """

    def __init__(
        self,
        volumes: Sequence[Volume],
        identity: Identity,
        roots: Sequence[str],
        *,
        seconds: float = SECONDS,
        program: Sequence[str] = _HERE,
    ) -> None:
        self._volumes = volumes
        self._identity = identity
        self._roots = roots
        self._seconds = seconds
        self._command = program
        self._asked: Asked | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the program."""
        if self._asked is not None:
            self._asked.end()

    def make_folders(self) -> None:
        """Make the folders below the roots that are missing, and give them to the account.

        Raises:
            RuntimeFailed: a folder cannot be made or does not answer, or a link leads out of its root.
        """
        self._ask(self._volumes, world="")

    def check_mounted(self, process: int) -> bool:
        """See that what a process of this host has mounted are the folders, whoever moved links meanwhile.

        Args:
            process: the number of the process; that it ended is no fault.

        Returns:
            whether we may look at what the process has.

        Raises:
            RuntimeFailed: something else is mounted.
        """
        # those below none of the roots are the facility's
        volumes = [volume for volume in self._volumes if root_of(volume.source, self._roots)]
        return "blind" not in self._ask(volumes, world=f"/proc/{process}/root")

    def _ask(self, volumes: Sequence[Volume], *, world: str) -> Mapping[str, str]:
        if not volumes:
            return {}
        account = (str(self._identity.uid), str(self._identity.gid), " ".join(map(str, self._identity.groups)))
        folders = [(volume.source, root_of(volume.source, self._roots), volume.bind) for volume in volumes]
        if self._asked is None:
            self._asked = Asked(self._command, self._seconds)
        try:
            told = self._asked.ask(*account, world, *chain.from_iterable(folders))
        except DeadError as error:
            raise dead(str(error), self._seconds) from error
        if fault := told.get("fault"):
            raise rejected(fault)
        return told


def dead(folder: str, seconds: float) -> RuntimeFailed:
    """The failure of a folder that does not answer."""
    return rejected(f"the folder {folder} does not answer within {seconds:g} s: its file system may be away")


def rejected(detail: str) -> RuntimeFailed:
    """The failure of a folder that cannot be used."""
    return RuntimeFailed(reason=FailureReason.REJECTED, detail=detail)
