"""What other services are told of the events that they may follow."""

import json
from typing import Annotated

import typer

from calipso import settings
from calipso.errors import NotFound
from calipso.events.envelope import EVENT_TYPES
from calipso.published import asyncapi, schemas

app = typer.Typer(help="Documents of the events that are published, for other services.", no_args_is_help=True)


@app.callback()
def events_() -> None:
    """Documents of the events that are published, for other services."""


@app.command(epilog="Example: `calipso events document > asyncapi.json`")
def document() -> None:
    """Print the AsyncAPI 3 document: every subject, with schema and example."""
    print(json.dumps(asyncapi.document(settings.load().facility), indent=2))


@app.command(epilog="Example: `calipso events schema calipso.container.ContainerStarted`")
def schema(type_: Annotated[str, typer.Argument(metavar="TYPE", help="The `type` of the messages.")]) -> None:
    """Print the JSON Schema of the messages of one type."""
    if type_ not in EVENT_TYPES:
        raise NotFound("event type", type_)
    print(json.dumps(schemas.message_schema(EVENT_TYPES[type_], settings.load().facility), indent=2))
