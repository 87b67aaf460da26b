"""What clients say of images: how it is read, and what is refused with the name of its field."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.catalogue import BODY, new_name, stored
from tests.api.conftest import Api
from tests.api.visitors import People, people_of

from calipso.api.images import ImageBody, read_spec
from calipso.errors import Invalid
from calipso.events.image import Image
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime

GIB = 2**30


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    return people_of(api)


@pytest.mark.parametrize(
    ("word", "runtime", "number"),
    [
        (None, Runtime.DOCKER, 1),
        ("", Runtime.DOCKER, 1),
        ("docker", Runtime.DOCKER, 1),
        ("docker_container", Runtime.DOCKER, 1),
        (1, Runtime.DOCKER, 1),
        ("kubernetes", Runtime.KUBERNETES, 2),
        ("virtual machine", Runtime.VIRTUAL_MACHINE, 3),
        ("virtual_machine", Runtime.VIRTUAL_MACHINE, 3),
        (3, Runtime.VIRTUAL_MACHINE, 3),
        ("static link", Runtime.STATIC_LINK, 4),
        ("Static_Link", Runtime.STATIC_LINK, 4),
    ],
)
async def test_words_for_runtimes(
    people: People, api: Api, word: str | int | None, runtime: Runtime, number: int
) -> None:
    name = new_name()
    body = {**BODY, "image": "https://example.org/", "resource_type": word}
    assert (await people.admin.ask("POST", f"/images/{name}/", body)).status == 201
    image = stored(api, name)
    assert image is not None
    assert image.spec.runtime is runtime
    assert (await people.admin.get(f"/images/{name}/")).json()["resource_type"] == number


async def test_what_the_frontend_sends_for_a_container(people: People, api: Api) -> None:
    name = new_name()
    body = {"public_name": name, **BODY, "cpu": "2", "resource_type": "docker"}
    assert (await people.admin.ask("POST", f"/images/{name}/", body)).status == 201
    assert stored(api, name) == Image(
        image_id=api.backend.installation.naming.image(name),
        name=name,
        spec=ImageSpec(
            reference="desktop:12",
            runtime=Runtime.DOCKER,
            protocol=Protocol.VNC,
            resources=Resources(millicores=2000, memory=3 * GIB, disk=5 * GIB),
        ),
    )


@pytest.mark.parametrize("empty", ["", None])
async def test_what_the_frontend_sends_for_a_virtual_machine(people: People, empty: str | None) -> None:
    name = new_name()
    empties = dict.fromkeys(("protocol", "cpu", "memory", "hdd"), empty)
    body = {"image": "ubuntu", "resource_type": "virtual machine", "flavor": "m1.small", **empties}
    assert (await people.admin.ask("POST", f"/images/{name}/", body)).status == 201
    found = (await people.admin.get(f"/images/{name}/")).json()
    assert (found["protocol"], found["cpu"], found["memory"], found["hdd"]) == ("", 0, "0G", "0G")


async def test_a_form_says_the_same_as_json(people: People) -> None:
    name = new_name()
    assert (await people.admin.ask("POST", f"/images/{name}/", data={**BODY, "cpu": "2"})).status == 201
    assert (await people.admin.get(f"/images/{name}/")).json()["cpu"] == 2


WRONG: list[tuple[str, object]] = [
    *((field, None) for field in ("cpu", "memory", "hdd", "image")),
    *((field, "") for field in ("cpu", "memory", "hdd", "image")),
    ("image", 7),
    ("image", "a\0b"),
    ("image", "x" * 2001),
    ("protocol", "telnet"),
    ("protocol", 7),
    ("cpu", "two"),
    ("cpu", -1),
    ("cpu", True),
    ("cpu", []),
    ("memory", "3 GB"),
    ("memory", 3),
    ("memory", "-3G"),
    ("memory", "99999T"),
    ("hdd", "much"),
    ("hdd", 1.5),
    ("resource_type", "cloud"),
    ("resource_type", 0),
    ("resource_type", 5),
    ("resource_type", True),
    ("port_hook", "5901"),
    ("logs_er", "("),
    ("logs_er", 1),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
async def test_wrong_values_are_refused_by_name_and_store_nothing(
    people: People, api: Api, field: str, value: object
) -> None:
    name = new_name()
    assert (await people.admin.ask("POST", f"/images/{name}/", {**BODY, field: value})).field() == (400, field)
    assert stored(api, name) is None
    await people.admin.ask("POST", f"/images/{name}/", BODY)
    before = stored(api, name)
    assert (await people.admin.ask("PUT", f"/images/{name}/", {**BODY, field: value})).field() == (400, field)
    assert stored(api, name) == before


@pytest.mark.parametrize("field", sorted(BODY))
async def test_missing_fields_are_refused_by_name(people: People, api: Api, field: str) -> None:
    name = new_name()
    answer = await people.admin.ask(
        "POST", f"/images/{name}/", {name: value for name, value in BODY.items() if name != field}
    )
    assert answer.field() == (400, field)
    assert answer.json()["error"] == f"{field}: is missing"
    assert stored(api, name) is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"x"', b"null", b"[" * 10_000, b"\xff"])
async def test_a_body_that_is_no_object_is_refused(people: People, data: bytes) -> None:
    answer = await people.admin.ask("POST", f"/images/{new_name()}/", data=data, kind="application/json")
    assert answer.field() == (400, "body")


async def test_a_link_needs_an_address(people: People) -> None:
    body = {**BODY, "image": "desktop:12", "resource_type": "static link"}
    assert (await people.admin.ask("POST", f"/images/{new_name()}/", body)).field() == (400, "image")


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
_FIELDS = ("image", "protocol", "cpu", "memory", "hdd", "resource_type", "port_hook", "logs_er")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(_FIELDS, _SCALARS | st.lists(_SCALARS))))
def test_any_values_are_read_or_refused_by_name(given_fields: dict[str, object]) -> None:
    with contextlib.suppress(msgspec.ValidationError):
        body = msgspec.convert(BODY | given_fields, type=ImageBody)
        try:
            spec = read_spec(body, None)
        except Invalid as error:
            assert error.field in given_fields  # noqa: PT017 - either of two outcomes is right
        else:
            assert min(spec.resources.millicores, spec.resources.memory, spec.resources.disk) >= 0
            assert "\0" not in spec.reference + spec.port_hook + spec.logs_er
