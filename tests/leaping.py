"""Time that passes at once: what waits for nothing but time is tested to the millisecond, and on no clock."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

P = ParamSpec("P")


class _Leaping(selectors.DefaultSelector):
    """Waits for nothing: the time for which it was asked to has passed then."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if timeout is None else 0)
        self.passed += 0 if ready else timeout or 0
        return ready


def in_no_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test that waits for time alone, not for threads, sockets or processes; its time begins with 0."""

    @wraps(test)
    def run(*args: P.args, **given: P.kwargs) -> None:
        selector = _Leaping()

        def loop() -> asyncio.AbstractEventLoop:
            made = asyncio.SelectorEventLoop(selector)
            made.time = lambda: selector.passed  # type: ignore[method-assign]  # the clock of everything in the loop
            return made

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(test(*args, **given))

    return run
