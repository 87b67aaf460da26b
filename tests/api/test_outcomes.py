"""What a run waits for before it answers: what its outcome concerns, and nothing that no event of it wakes."""

import pytest
from tests.builders import History
from tests.events.samples import SAMPLES

from calipso.api.context import Context
from calipso.api.metrics import Metrics
from calipso.api.resources import _shown
from calipso.api.waiting import Waiting
from calipso.backend import Backend
from calipso.errors import NotVisibleYet
from calipso.events.container import ContainerStarted
from calipso.settings import load, secret

pytestmark = pytest.mark.unit


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Context:
    """Of a database that nobody asks."""
    monkeypatch.setattr("calipso.api.shown.SHOWN_WITHIN_SECONDS", 0.1)
    settings = load(database_url="postgresql://127.0.0.1:1/nowhere", master_keys=secret(f"1:{'A' * 43}="))
    backend = Backend(settings)
    return Context(backend, Waiting(backend.database, backend.store, backend.parts), Metrics())


@pytest.mark.parametrize(
    ("lists", "quotas", "is_shown"),
    [(4, 1, True), (4, 4, True), (3, 4, False), (4, 0, False)],
)
async def test_a_start_is_waited_for_where_it_is_told_and_its_reservation_where_that_is(
    context: Context, lists: int, quotas: int, *, is_shown: bool
) -> None:
    told = History().record(*(next(e for e in SAMPLES.values() if isinstance(e, ContainerStarted)) for _ in range(4)))
    context.waiting._shown.tell({"containers": lists, "quotas": quotas})
    if is_shown:
        await _shown(context, told[-1], reserved=1)
    else:
        with pytest.raises(NotVisibleYet):
            await _shown(context, told[-1], reserved=1)
