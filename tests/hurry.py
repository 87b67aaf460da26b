"""Whoever asks a service that hangs does not wait long; others have all the time that a machine may need."""

from collections.abc import Callable, Iterator

import pytest

from calipso.api.outside.http import Outside

Hurry = Callable[[str], None]
"""Given the trouble of a service: half a second is enough for one that hangs."""


@pytest.fixture
def hurry() -> Iterator[Hurry]:
    """Shortens the patience with services, or gives it back; what a test has changed otherwise stays."""
    with pytest.MonkeyPatch.context() as patience:

        def change(trouble: str) -> None:
            if trouble == "hang":
                patience.setattr(Outside, "_seconds", property(lambda _: 0.5), raising=False)
            else:
                patience.undo()

        yield change
