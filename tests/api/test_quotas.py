"""Quotas over HTTP: what users may have, and what they have."""

from uuid import uuid4

import pytest
from tests.api.conftest import Api
from tests.api.visitors import People, Visitor, obey, people_of

from calipso.commands.handling import QUOTA
from calipso.commands.image import AddImage, WithdrawImage
from calipso.commands.request import RequestContainer, TargetOffered
from calipso.events.naming import quota_stream
from calipso.events.quota import Quota
from calipso.events.values import ImageSpec, Limits, Protocol, Resources, Runtime

GIB = 2**30
BODY = {"max_simultaneous": 3, "memory": "20G", "cpu": 4, "hdd": "40G"}
DEFAULT = b'{"cpu":10,"memory":"30G","hdd":"80G","max_simultaneous":5}'


@pytest.fixture(scope="module")
def people(api: Api) -> People:
    return people_of(api)


def stored(visitor: Visitor) -> Quota:
    return visitor.api.backend.dispatcher.state(QUOTA, quota_stream(visitor.user_id))


def start(visitor: Visitor, resources: Resources) -> AddImage:
    """Let a container of a visitor hold resources; gives the image that it came from."""
    api, name = visitor.api, uuid4().hex
    naming = api.backend.installation.naming
    spec = ImageSpec(reference="desktop:12", runtime=Runtime.DOCKER, protocol=Protocol.VNC, resources=resources)
    image = AddImage(image_id=naming.image(name), name=name, spec=spec)
    request = RequestContainer(
        container_id=uuid4(),
        user_id=visitor.user_id,
        image_id=image.image_id,
        image_name=name,
        label=name,
        info=name,
        session=None,
        targets=(TargetOffered(target_id=naming.target("docker"), name="docker"),),
    )
    obey(api, image, request)
    return image


async def test_without_a_quota_of_their_own_users_have_the_facilitys(people: People) -> None:
    answer = await people.ada.get(f"/quota/{people.ada.name}/")
    assert (answer.status, answer.body) == (200, DEFAULT)
    assert answer.headers["Content-Type"] == "application/json"


async def test_a_quota_is_created_and_changed(api: Api, people: People) -> None:
    ada = Visitor(api=api, name=api.add_user())
    obey(api)
    for body, shown in (
        (BODY, b'{"cpu":4,"memory":"20G","hdd":"40G","max_simultaneous":3}'),
        (
            {"max_simultaneous": "0", "memory": "0G", "cpu": "2.5", "hdd": "1T", "more": 1},
            b'{"cpu":3,"memory":"0G","hdd":"1024G","max_simultaneous":0}',
        ),
    ):
        answer = await people.admin.ask("POST", f"/quota/{ada.name}/", body)
        assert (answer.status, answer.body) == (200, b"")
        assert (await ada.get(f"/quota/{ada.name}/")).body == shown
    assert stored(ada).limits == Limits(containers=0, resources=Resources(millicores=2500, memory=0, disk=2**40))


async def test_the_same_quota_again_is_no_news(people: People) -> None:
    for _ in range(2):
        assert (await people.admin.ask("POST", f"/quota/{people.bob.name}/", BODY)).status == 200


async def test_a_form_says_the_same_as_json(people: People) -> None:
    body = {name: str(value) for name, value in BODY.items()}
    assert (await people.admin.ask("POST", f"/quota/{people.bob.name}/", data=body)).status == 200


@pytest.mark.parametrize("field", sorted(BODY))
async def test_every_field_must_be_there(people: People, field: str) -> None:
    body = {name: value for name, value in BODY.items() if name != field}
    answer = await people.admin.ask("POST", f"/quota/{people.ada.name}/", body)
    assert (answer.field(), answer.json()["error"]) == ((400, field), f"{field}: is missing")
    assert stored(people.ada).limits is None


@pytest.mark.parametrize("field", sorted(BODY))
@pytest.mark.parametrize("value", [None, "", "many", -1, "-1", [], {}, True, 1e300, 10**30, "9" * 400, 3.3333, "٣"])
async def test_wrong_values_are_refused_by_name_and_store_nothing(people: People, field: str, value: object) -> None:
    answer = await people.admin.ask("POST", f"/quota/{people.ada.name}/", {**BODY, field: value})
    assert answer.field() == (400, field)
    assert stored(people.ada).limits is None


async def test_used_is_what_active_containers_hold(api: Api, people: People) -> None:
    ada = Visitor(api=api, name=api.add_user())
    obey(api)
    path = f"/used_quota/{ada.name}/"
    assert (await ada.get(path)).body == b'{"cpu":0,"memory":"0G","hdd":"0G","max_simultaneous":0}'
    image = start(ada, Resources(millicores=1500, memory=2 * GIB, disk=GIB))
    start(ada, Resources(millicores=500, memory=GIB // 2, disk=3 * GIB))
    used = b'{"cpu":2,"memory":"3G","hdd":"4G","max_simultaneous":2}'
    assert (await ada.get(path)).body == used
    obey(api, WithdrawImage(image_id=image.image_id, name=image.name))
    assert (await ada.get(path)).body == used
    assert (await people.admin.get(path)).body == used


@pytest.mark.parametrize("place", ["quota", "used_quota"])
async def test_users_see_their_own_and_administrators_all(people: People, place: str) -> None:
    for visitor in (people.ada, people.admin):
        assert (await visitor.get(f"/{place}/{people.ada.name}/")).status == 200
    forbidden = (403, "You do not have permission to perform this action.")
    for name in (people.ada.name, people.admin.name, "none"):
        assert (await people.bob.get(f"/{place}/{name}/")).detail() == forbidden
    assert (await people.admin.get(f"/{place}/none/")).detail() == (404, "Not found.")
    answer = await people.nobody.get(f"/{place}/{people.ada.name}/")
    assert answer.detail() == (403, "Authentication credentials were not provided.")


async def test_only_administrators_assign(people: People) -> None:
    for visitor, name in ((people.ada, people.ada.name), (people.ada, "none"), (people.nobody, people.ada.name)):
        assert (await visitor.ask("POST", f"/quota/{name}/", {})).status == 403
    assert stored(people.ada).limits is None
    assert (await people.admin.ask("POST", "/quota/none/", BODY)).detail() == (404, "Not found.")


async def test_names_are_read_as_people_write_them(api: Api) -> None:
    name = f"Ada+{uuid4().hex}@example.org"
    visitor = Visitor(api=api, name=api.add_user(name))
    obey(api)
    for written in (name, name.lower(), name.replace("@", "%40").replace("+", "%2B")):
        assert (await visitor.get(f"/quota/{written}/")).body == DEFAULT


async def test_head_and_other_methods(people: People) -> None:
    path = f"/quota/{people.ada.name}/"
    head = await people.ada.ask("HEAD", path)
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(DEFAULT)))
    for place, allowed in (("quota", "GET, HEAD, OPTIONS, POST"), ("used_quota", "GET, HEAD, OPTIONS")):
        answer = await people.admin.ask("DELETE", f"/{place}/{people.ada.name}/")
        assert answer.detail() == (405, 'Method "DELETE" not allowed.')
        assert answer.headers["Allow"] == allowed
