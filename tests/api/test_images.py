"""The catalogue over HTTP: read, added to, changed, withdrawn from."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from tests.api.catalogue import BODY, new_name, stored
from tests.api.conftest import Api
from tests.api.visitors import People, obey, people_of

from calipso.commands.image import AddImage
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime

GIB = 2**30


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    return people_of(api)


async def test_an_image_as_bytes(people: People) -> None:
    name = new_name()
    added = await people.admin.ask("POST", f"/images/{name}/", BODY)
    assert (added.status, added.body) == (201, b"")
    answer = await people.ada.get(f"/images/{name}/")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert (
        answer.body
        == (
            f'{{"public_name":"{name}","image":"desktop:12","protocol":"vnc","cpu":2,"memory":"3G","hdd":"5G",'
            '"resource_type":1}'
        ).encode()
    )


async def test_the_list_is_an_array_of_the_same_objects_oldest_first(people: People) -> None:
    first, second = f"b{new_name()}", f"a{new_name()}"
    for name in (first, second):
        await people.admin.ask("POST", f"/images/{name}/", BODY)
    found = (await people.ada.get("/images/")).json()
    assert [image["public_name"] for image in found if image["public_name"] in {first, second}] == [first, second]
    assert found[-1] == (await people.ada.get(f"/images/{second}/")).json()


async def test_adding_twice_is_a_conflict_and_changes_nothing(people: People, api: Api) -> None:
    name = new_name()
    await people.admin.ask("POST", f"/images/{name}/", BODY)
    before = stored(api, name)
    answer = await people.admin.ask("POST", f"/images/{name}/", {**BODY, "cpu": 8})
    assert (answer.status, answer.json()["title"]) == (409, "Conflict")
    assert stored(api, name) == before


async def test_of_two_who_add_at_once_one_succeeds(people: People) -> None:
    path = f"/images/{new_name()}/"
    answers = await asyncio.gather(*(people.admin.ask("POST", path, {**BODY, "cpu": number}) for number in range(1, 9)))
    assert sorted(answer.status for answer in answers) == [201] + 7 * [409]
    added = next(number for number, answer in enumerate(answers, start=1) if answer.status == 201)
    assert (await people.ada.get(path)).json()["cpu"] == added


async def test_a_change_is_shown_at_once_and_keeps_what_is_not_told(people: People, api: Api) -> None:
    name = new_name()
    hooks = {"port_hook": "5901/tcp", "logs_er": "token=[0-9a-f]+"}
    await people.admin.ask("POST", f"/images/{name}/", {**BODY, **hooks, "resource_type": "kubernetes"})
    changed = await people.admin.ask("PUT", f"/images/{name}/", {**BODY, "cpu": 8, "resource_type": None})
    assert (changed.status, changed.body) == (200, b"")
    found = (await people.admin.get(f"/images/{name}/")).json()
    assert (found["cpu"], found["resource_type"]) == (8, 2)
    image = stored(api, name)
    assert image is not None
    assert (image.spec.port_hook, image.spec.logs_er) == ("5901/tcp", "token=[0-9a-f]+")
    await people.admin.ask(
        "PUT", f"/images/{name}/", {**BODY, "logs_er": "", "port_hook": "", "resource_type": "docker"}
    )
    image = stored(api, name)
    assert image is not None
    assert (image.spec.port_hook, image.spec.logs_er, image.spec.runtime) == ("", "", Runtime.DOCKER)


async def test_what_is_read_may_be_written_back(people: People, api: Api) -> None:
    name = new_name()
    await people.admin.ask("POST", f"/images/{name}/", BODY)
    before = stored(api, name)
    found = (await people.admin.get(f"/images/{name}/")).json()
    assert (await people.admin.ask("PUT", f"/images/{name}/", found)).status == 200
    assert stored(api, name) == before


async def test_a_change_of_the_runtime_leaves_its_targets(people: People, api: Api) -> None:
    name = new_name()
    resources = Resources(millicores=1000, memory=GIB, disk=GIB)
    spec = ImageSpec(
        reference="desktop:12",
        runtime=Runtime.DOCKER,
        protocol=Protocol.VNC,
        resources=resources,
        targets=("docker",),
    )
    obey(api, AddImage(image_id=api.backend.installation.naming.image(name), name=name, spec=spec))
    assert (await people.admin.ask("PUT", f"/images/{name}/", BODY)).status == 200
    image = stored(api, name)
    assert image is not None
    assert image.spec.targets == ("docker",)
    assert (await people.admin.ask("PUT", f"/images/{name}/", {**BODY, "resource_type": "kubernetes"})).status == 200
    image = stored(api, name)
    assert image is not None
    assert image.spec.targets == ()


async def test_a_withdrawn_image_is_gone_at_once_and_may_come_again(people: People) -> None:
    name = new_name()
    await people.admin.ask("POST", f"/images/{name}/", BODY)
    answer = await people.admin.ask("DELETE", f"/images/{name}/")
    assert (answer.status, answer.body) == (204, b"")
    assert (await people.admin.get(f"/images/{name}/")).status == 404
    assert (await people.admin.ask("POST", f"/images/{name}/", BODY)).status == 201


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_unknown_image_is_not_found(people: People, method: str) -> None:
    body: Any = BODY if method == "PUT" else None
    answer = await people.admin.ask(method, "/images/none/", body)
    assert (answer.status, answer.json()["detail"]) == (404, "Not found.")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_only_administrators_change_the_catalogue(people: People, method: str) -> None:
    name = new_name()
    if method != "POST":
        await people.admin.ask("POST", f"/images/{name}/", BODY)
    before = await people.admin.get(f"/images/{name}/")
    for body in (BODY, {}):
        answer = await people.ada.ask(method, f"/images/{name}/", body)
        assert answer.status == 403
        assert answer.json()["detail"] == "You do not have permission to perform this action."
    assert (await people.admin.get(f"/images/{name}/")).body == before.body


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/images/"),
        ("GET", "/images/x/"),
        ("POST", "/images/x/"),
        ("PUT", "/images/x/"),
        ("DELETE", "/images/x/"),
    ],
)
async def test_nobody_is_refused(people: People, method: str, path: str) -> None:
    answer = await people.nobody.ask(method, path)
    assert answer.status == 403
    assert answer.json()["detail"] == "Authentication credentials were not provided."


async def test_names_are_percent_encoded_once(people: People) -> None:
    unique = uuid4().hex
    assert (await people.admin.ask("POST", f"/images/d%C3%A9sk%20%2525%20{unique}/", BODY)).status == 201
    found = (await people.admin.get(f"/images/d%C3%A9sk%20%2525%20{unique}/")).json()
    assert found["public_name"] == f"désk %25 {unique}"


@pytest.mark.parametrize("name", ["a%2Fb", "a%0Ab"])
async def test_no_image_has_such_a_name(people: People, name: str) -> None:
    for method, body in (("GET", None), ("POST", BODY), ("PUT", BODY), ("DELETE", None)):
        assert (await people.admin.ask(method, f"/images/{name}/", body)).status == 404


async def test_head_is_get_without_the_body(people: People) -> None:
    name = new_name()
    await people.admin.ask("POST", f"/images/{name}/", BODY)
    for path in ("/images/", f"/images/{name}/"):
        head, full = await people.ada.ask("HEAD", path), await people.ada.get(path)
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Type"] == full.headers["Content-Type"]
        assert head.headers["Content-Length"] == str(len(full.body))


async def test_other_methods_are_not_allowed(people: People) -> None:
    answer = await people.admin.ask("PATCH", "/images/x/", {})
    assert answer.detail() == (405, 'Method "PATCH" not allowed.')
    assert answer.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, POST, PUT"
