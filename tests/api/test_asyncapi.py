"""The documents of the events are served to whoever asks, and say what is served as events."""

import json

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.api.conftest import Api

from calipso.published import asyncapi


async def test_the_document_is_served_to_everybody(api: Api) -> None:
    async with api.anonymous() as session, session.get("/asyncapi.json") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        assert await answer.json() == json.loads(json.dumps(asyncapi.document("calipso")))


async def test_each_event_over_http_is_as_its_schema_says(api: Api, administrator: str) -> None:
    api.add_user()
    async with api.basic(administrator) as session:
        async with session.get("/events/?limit=1000") as answer:
            events = await answer.json(content_type=None)
        for event in {each["type"]: each for each in events}.values():
            async with session.get(f"/schemas/{event['type']}.json") as answer:
                assert answer.headers["Content-Type"] == "application/schema+json"
                jsonschema.validate(event, await answer.json(content_type=None))


@pytest.mark.parametrize("file", ["calipso.none.None.json", "calipso.user.RoleGranted", "x"])
async def test_another_schema_is_not_there(api: Api, file: str) -> None:
    async with api.anonymous() as session, session.get(f"/schemas/{file}") as answer:
        assert answer.status == 404
