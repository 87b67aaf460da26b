"""Whoever asks a service that hangs does not wait long; others have all the time that a machine may need."""

from collections.abc import Callable

import pytest

from calipso.api.outside.http import Outside

Hurry = Callable[[str], None]
"""Given the trouble of a service: half a second is enough for one that hangs."""


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Hurry:
    """Shortens the patience with services, or gives it back."""

    def change(trouble: str) -> None:
        if trouble == "hang":
            monkeypatch.setattr(Outside, "_seconds", property(lambda _: 0.5), raising=False)
        else:
            monkeypatch.undo()

    return change
