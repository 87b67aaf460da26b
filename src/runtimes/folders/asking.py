"""Asks the program that looks at folders, which is ended when it does not answer in time."""

import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

_END_SECONDS = 1.0


class DeadError(Exception):
    """The program did not answer in time; the text is the folder at which it hangs."""


class Asked:
    """The program at work, until it is ended.

    Args:
        command: runs it; on another host where it leads there.
        seconds: how long it may be silent.
    """

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        self._trouble = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        self._line, theirs = socket.socketpair()
        self._line.settimeout(seconds)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - a program of ours
                command, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=self._trouble, cwd="/"
            )
        self._answers = self._line.makefile(encoding="ascii")

    def ask(self, *words: str) -> Mapping[str, str]:
        """What the program says to a question, by the words that it says it with.

        Raises:
            DeadError: it does not answer; it can only be ended now.
        """
        told: dict[str, str] = {}
        try:
            self._line.sendall(_digits("\0".join(words)).encode() + b"\n")
            while "done" not in told and "fault" not in told:
                word, _, text = self._answers.readline().strip().partition(" ")
                if not word:
                    return {"fault": f"the folders could not be looked at: {self._last_words()}"}
                told[word] = bytes.fromhex(text).decode(errors="surrogateescape")
        except TimeoutError as error:
            self._process.kill()
            raise DeadError(told.get("at", "of a volume")) from error
        except OSError:
            return {"fault": f"the folders could not be looked at: {self._last_words()}"}
        return told

    def end(self) -> None:
        """Let the program end, by force if need be; one that the system does not let go is left to it."""
        self._answers.close()
        self._line.close()
        self._trouble.close()
        if not self._has_ended():
            self._process.kill()
            self._has_ended()

    def _has_ended(self) -> bool:
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _last_words(self) -> str:
        self._has_ended()
        self._trouble.seek(0)
        return self._trouble.read().decode(errors="replace")[-1000:]


def _digits(text: str) -> str:
    return text.encode(errors="surrogateescape").hex()
