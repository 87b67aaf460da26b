"""Speaks to one libvirt: connects when it is first asked, and tells trouble in Calipso's words."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import cache
from threading import Lock, Thread
from typing import Any, TypeVar

import libvirt  # type: ignore[import-untyped]  # the library has no types

from calipso.errors import Unavailable
from calipso.events.values import FailureReason
from calipso.runtimes.protocol import RuntimeFailed

T = TypeVar("T")
# the library has no types: these are its virConnect, virDomain, virStorageVol, libvirtError and virStream
Connection = Any
Machine = Any
StoredVolume = Any
Failure = Any
Stream = Any

_BEATS = 3
_TROUBLE_DOMAINS = frozenset({libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE, libvirt.VIR_FROM_AUTH})
_TROUBLE = frozenset(
    {
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_AUTH_FAILED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    }
)
# libvirt has no codes for these, and hands on what the system and QEMU said
_NO_ROOM = ("Cannot allocate memory", "No space left on device", "Disk quota exceeded")


class Hypervisor:
    """One libvirt; safe to use from several threads.

    Calls of libvirt cannot be cut short, so each piece of work has a thread of its own that is waited for until the
    time is over. What is done by it then goes on, or comes to nothing, unseen.

    Args:
        target: the name of the target, for errors.
        uri: libvirt's address of itself, such as `qemu:///system` or `qemu+tls://host/system`.
        timeout: seconds until a libvirt that does not answer counts as away.
    """

    def __init__(self, target: str, uri: str, timeout: float) -> None:
        self._target = target
        self._uri = uri
        self._timeout = timeout
        self._lock = Lock()
        self._made: Connection | None = None

    def ask(self, work: Callable[[Connection], T], *, seconds: float = 0) -> T:
        """What a piece of work gives, that is done with a connection.

        Args:
            work: gets the connection (`libvirt.virConnect`).
            seconds: the time that it has; the timeout by default.

        Raises:
            Unavailable: libvirt could not be reached, did not answer in time, or said an error that the work did not
                deal with.
        """
        limit = seconds or self._timeout
        answer: Future[T] = Future()
        Thread(target=self._work, args=(answer, work), daemon=True, name=f"libvirt {self._target}").start()
        try:
            return answer.result(limit)
        except TimeoutError as error:
            self.close()
            raise self.unavailable(f"no answer within {limit:g} s") from error
        except libvirt.libvirtError as error:
            if is_trouble(error):
                self.close()
            raise self.unavailable(words(error)) from error

    def close(self) -> None:
        """Give back the connection; the next use makes a new one."""
        made, self._made = self._made, None
        if made is not None:
            with suppress(libvirt.libvirtError):
                made.close()

    def unavailable(self, reason: str) -> Unavailable:
        """The error for a libvirt that does not answer."""
        return Unavailable(part=f"target {self._target}", reason=reason)

    def _work(self, answer: Future[T], work: Callable[[Connection], T]) -> None:
        try:
            answer.set_result(work(self._connected()))
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
            answer.set_exception(error)

    def _connected(self) -> Connection:
        made = self._made
        if made is not None and made.isAlive():
            return made
        # only one waits for a libvirt that is away; the others give up when their time is over
        if not self._lock.acquire(timeout=self._timeout):
            raise self.unavailable(f"no connection within {self._timeout:g} s")
        try:
            if self._made is None or not self._made.isAlive():
                self._made = self._connect()
            return self._made
        finally:
            self._lock.release()

    def _connect(self) -> Connection:
        run_events()
        made = libvirt.open(self._uri)
        interval = max(1, round(self._timeout / (_BEATS + 1)))
        found(lambda: made.setKeepAlive(interval, _BEATS), libvirt.VIR_ERR_NO_SUPPORT)
        return made


def words(error: Failure) -> str:
    """What libvirt itself said of an error."""
    return str(error.get_error_message() or error)[:1000]


def is_trouble(error: Failure) -> bool:
    """Whether the connection is in trouble, rather than libvirt having decided against what was asked."""
    return error.get_error_domain() in _TROUBLE_DOMAINS or error.get_error_code() in _TROUBLE


def refused(error: Failure) -> RuntimeFailed:
    """The failure in a refusal of libvirt."""
    told = words(error)
    has_no_room = any(text in told for text in _NO_ROOM)
    return RuntimeFailed(reason=FailureReason.CAPACITY if has_no_room else FailureReason.REJECTED, detail=told)


@contextmanager
def refusals() -> Iterator[None]:
    """Tells what libvirt refuses within the block as `RuntimeFailed`, and lets trouble pass."""
    try:
        yield
    except libvirt.libvirtError as error:
        if is_trouble(error):
            raise
        raise refused(error) from error


def found(look: Callable[[], T], *absent: int) -> T | None:
    """What a look finds; None when libvirt answers with one of the codes that stand for absence."""
    try:
        return look()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in absent:
            raise
        return None


@cache
def run_events() -> None:
    """Let libvirt's events arrive, for all connections of this process."""
    # errors are raised; libvirt would also print them
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()
    Thread(target=_loop, daemon=True, name="libvirt events").start()


def _loop() -> None:
    while True:
        with suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()
