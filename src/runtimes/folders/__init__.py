"""Looks at the folders of volumes where they are, as the account that is to use them, and makes the missing ones.

On this host a program of its own does it, which can be given up when a file system does not answer; elsewhere
`script.py` does it in a container.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from calipso.commands.volumes import is_below
from calipso.events.values import FailureReason, Identity, Volume
from calipso.runtimes.protocol import RuntimeFailed

SECONDS = 10
PROGRAM = Path(__file__).with_name("program.py")
# without the packages of this installation it is there in a moment
_HERE = (sys.executable, "-I", "-S", str(PROGRAM))
_KILL_SECONDS = 1.0


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
    """Make the folders below the roots that are missing on this host, and give them to the container's account.

    Args:
        volumes: whose sources are wanted; what lies below none of the roots must be there, and is only touched.
        identity: the account that looks at them, and gets a folder that was missing; root helps where it may.
        roots: folders of this host below which missing folders are made; made too when missing.
        seconds: the time until a folder counts as dead.
        program: runs the program; on another host where it leads there.

    Raises:
        RuntimeFailed: a folder cannot be made or does not answer, or a link leads out of its root.
    """
    _ask(volumes, identity, roots, world="", seconds=seconds, program=program)


def check_mounted(
    volumes: Sequence[Volume], identity: Identity, roots: Sequence[str], process: int, *, seconds: float = SECONDS
) -> bool:
    """See that what a process of this host has mounted are the folders of volumes, whoever moved links meanwhile.

    Args:
        volumes: whose sources are compared with what is mounted; those below none of the roots are the facility's.
        identity: the account that can reach them.
        roots: folders out of which no link may lead.
        process: the number of the process; that it ended is no fault.
        seconds: the time until a folder counts as dead.

    Returns:
        whether we may look at what the process has.

    Raises:
        RuntimeFailed: something else is mounted.
    """
    return "blind" not in _ask(volumes, identity, roots, world=f"/proc/{process}/root", seconds=seconds)


def _ask(
    volumes: Sequence[Volume],
    identity: Identity,
    roots: Sequence[str],
    *,
    world: str,
    seconds: float,
    program: Sequence[str] = _HERE,
) -> dict[str, str]:
    if not volumes:
        return {}
    asked = {
        "uid": identity.uid,
        "gid": identity.gid,
        "groups": identity.groups,
        "folders": [(volume.source, root_of(volume.source, roots), volume.bind) for volume in volumes],
        "world": world,
    }
    told = _run(program, json.dumps(asked).encode(), seconds)
    if fault := told.get("fault"):
        raise rejected(fault)
    return told


def dead(folder: str, seconds: float) -> RuntimeFailed:
    """The failure of a folder that does not answer."""
    return rejected(f"the folder {folder} does not answer within {seconds:g} s: its file system may be away")


def rejected(detail: str) -> RuntimeFailed:
    """The failure of a folder that cannot be used."""
    return RuntimeFailed(reason=FailureReason.REJECTED, detail=detail)


def _run(command: Sequence[str], asked: bytes, seconds: float) -> dict[str, str]:
    """The last word of the program."""
    program = subprocess.Popen(  # noqa: S603 - a program of ours
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
    )
    try:
        told, trouble = program.communicate(asked, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        _give_up(program)
        raise dead(_last(error.output or b"").get("at", "of a volume"), seconds) from error
    last = _last(told)
    if program.returncode and "fault" not in last:
        return {"fault": f"the folders could not be looked at: {trouble.decode(errors='replace')[-1000:]}"}
    return last


def _give_up(program: subprocess.Popen[bytes]) -> None:
    """End the program; one that the system does not let go is left to it."""
    program.kill()
    try:
        program.wait(_KILL_SECONDS)
    except subprocess.TimeoutExpired:
        return
    finally:
        for pipe in (program.stdin, program.stdout, program.stderr):
            if pipe is not None:
                pipe.close()


def _last(told: bytes) -> dict[str, str]:
    lines = told.splitlines()
    last: dict[str, str] = json.loads(lines[-1]) if lines else {}
    return last
