"""Who follows everything and reads too slowly is told so, once and for all."""

from calipso.api.waiting import _MOST_WAITING, Hearing


def has_missed_after(hearing: Hearing, count: int) -> bool:
    for _ in range(count):
        hearing.tell(None)
    return hearing.has_missed


def test_what_is_missed_once_stays_missed() -> None:
    hearing = Hearing()
    assert not has_missed_after(hearing, _MOST_WAITING)
    assert has_missed_after(hearing, 1)
    hearing.unread.get_nowait()
    assert has_missed_after(hearing, 1)
    assert hearing.unread.qsize() == _MOST_WAITING - 1
