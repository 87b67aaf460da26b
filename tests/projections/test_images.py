from sqlalchemy import Connection
from tests.builders import NAMING, image_added, image_changed, image_spec, image_withdrawn
from tests.projections.rows import tell

from calipso.events.values import Protocol, Runtime
from calipso.projections import images
from calipso.projections.images import ImageRow


def test_an_entry_says_what_was_last_said_of_it(connection: Connection) -> None:
    changes = {"port_hook": "3389/tcp", "logs_er": "r[e]ady", "targets": ("docker-a", "docker-b")}
    tell(connection, image_changed("wiki"), image_added("desktop"), image_changed("desktop", **changes))
    expected = ImageRow(id=2, image_id=NAMING.image("desktop"), name="desktop", spec=image_spec(**changes))
    assert images.by_name(connection, "desktop") == expected
    assert images.every(connection) == [expected]


def test_names_are_taken_as_they_are_written(connection: Connection) -> None:
    tell(connection, image_added("desktop"))
    assert images.by_name(connection, "Desktop") is None
    assert images.by_name(connection, "desk\0top") is None


def test_the_oldest_entry_is_the_first(connection: Connection) -> None:
    tell(connection, *(image_added(name) for name in "cab"))
    assert [(row.id, row.name) for row in images.every(connection)] == [(1, "c"), (2, "a"), (3, "b")]


def test_a_withdrawn_entry_is_gone_and_comes_back_as_a_new_one(connection: Connection) -> None:
    spec = {"runtime": Runtime.STATIC_LINK, "protocol": Protocol.NONE, "reference": "https://wiki.example/"}
    tell(connection, image_added("wiki"), image_withdrawn("wiki"), image_withdrawn("desktop"))
    assert images.every(connection) == []
    tell(connection, image_added("wiki"), image_withdrawn("wiki"), image_changed("wiki"), image_added("wiki", **spec))
    assert [(row.id, row.spec) for row in images.every(connection)] == [(4, image_spec(**spec))]
