"""The program that looks at folders inside a container of their target, with nothing but a shell and `mkdir`.

The roots are mounted at their own places, so a link that leads out of them leads to nowhere that matters.
"""

from collections.abc import Sequence

from calipso.events.values import Volume
from calipso.runtimes.folders import SECONDS, root_of

# the shell itself tells of a worker that was killed, on its other stream and so before or after what is said here
_SCRIPT = """
exec 2>/dev/null
fail() { echo "$1"; exit 1; }
prepare() {
  above=$1
  while [ ! -e "$above" ] && [ ! -L "$above" ] && [ "$above" ]; do above=${above%/*}; done
  root=$(cd -P -- "$2" && pwd -P) || fail "the folder $2 cannot be entered by user $(id -u)"
  at=$(cd -P -- "$above" 2>/dev/null && pwd -P) ||
    fail "the folder $1 leads out of $2, or cannot be entered by user $(id -u)"
  case $at/ in "${root%/}"/*) ;; *) fail "the folder $1 leads out of $2" ;; esac
  [ -d "$1" ] || told=$(umask 022 && mkdir -p -m 0750 -- "$1" 2>&1) ||
    fail "the folder $1 cannot be made by user $(id -u): ${told##*: }"
}
seconds=$1
shift
while [ $# -gt 0 ]; do
  prepare "$1" "$2" & worker=$!
  { sleep "$seconds"; kill -9 "$worker"; } >/dev/null 2>&1 & guard=$!
  wait "$worker"
  status=$?
  kill "$guard" 2>/dev/null
  [ $status -le 128 ] || fail "the folder $1 does not answer within $seconds s: its file system may be away"
  [ $status = 0 ] || exit 1
  shift 2
done
"""

# the way down is gone first, so that it is one place whose name and number are compared
_COMPARISON = """
exec 2>/dev/null
fail() { echo "$1"; exit 1; }
while [ $# -gt 0 ]; do
  root=$(cd -P -- "$2" && pwd -P) && cd -P -- "$1" ||
    fail "the folder $1 leads out of $2, or cannot be entered by user $(id -u)"
  case $(pwd -P)/ in "${root%/}"/*) ;; *) fail "the folder $1 leads out of $2" ;; esac
  [ . -ef "/proc/1/root$3" ] || fail "the folder $1 was replaced while it was mounted"
  shift 3
done
"""


def command(volumes: Sequence[Volume], roots: Sequence[str], seconds: int = SECONDS) -> list[str]:
    """What makes the folders of volumes that lie below a root, as the account that runs it.

    Its last line says what is wrong if it fails.

    Args:
        volumes: whose sources are wanted; those below none of the roots are left alone.
        roots: mounted where they are on the target, writable.
        seconds: the time until a folder counts as dead.
    """
    pairs = [(volume.source, root_of(volume.source, roots)) for volume in volumes]
    arguments = [text for source, root in pairs if root for text in (source, root)]
    return ["/bin/sh", "-c", _SCRIPT, "sh", str(seconds), *arguments]


def comparison(volumes: Sequence[Volume], roots: Sequence[str]) -> list[str]:
    """What sees, beside the first process of a container, that what is mounted there are the folders of volumes.

    Its last line says what is wrong if it fails.

    Args:
        volumes: whose sources are compared; those below none of the roots are left alone.
        roots: mounted where they are on the target.
    """
    triples = [(volume.source, root_of(volume.source, roots), volume.bind) for volume in volumes]
    arguments = [text for triple in triples if triple[1] for text in triple]
    return ["/bin/sh", "-c", _COMPARISON, "sh", *arguments]
