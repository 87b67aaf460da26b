"""What other services are told of the events that they may follow: an AsyncAPI document, and a JSON Schema for each."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sanic import Blueprint, HTTPResponse, Request

from calipso.api.context import context_of
from calipso.api.operations import SCHEMA
from calipso.api.wire import json
from calipso.errors import NotFound
from calipso.events.envelope import EVENT_TYPES
from calipso.published import asyncapi, schemas

blueprint = Blueprint("asyncapi")

_ENDING = ".json"


@blueprint.get("/asyncapi.json")
async def document(request: Request) -> HTTPResponse:
    """The events as an AsyncAPI 3 document."""
    return json(_document(context_of(request).backend.settings.facility))


@blueprint.get("/schemas/<file:str>")
async def schema(request: Request, file: str) -> HTTPResponse:
    """The JSON Schema of the messages of one type: schemas/calipso.container.ContainerStarted.json."""
    event_type = EVENT_TYPES.get(file.removesuffix(_ENDING))
    if event_type is None or not file.endswith(_ENDING):
        raise NotFound("schema", file)
    found = schemas.message_schema(event_type, context_of(request).backend.settings.facility)
    return json(found, content_type=SCHEMA)


@cache
def _document(facility: str) -> Mapping[str, Any]:
    return asyncapi.document(facility)
