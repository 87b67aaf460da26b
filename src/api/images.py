"""The catalogue of images; everybody signed in reads it, administrators change it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

import msgspec
from sanic import Blueprint, HTTPResponse, Request
from sqlalchemy import Connection

from calipso.api import past
from calipso.api.auth import signed_in
from calipso.api.context import context_of, require_administrator
from calipso.api.objects import ImageObject
from calipso.api.ready import repeatable
from calipso.api.wire import Number, json, read_body, read_cpus, read_name, read_size, read_text
from calipso.commands.handling import IMAGE
from calipso.commands.image import AddImage, ChangeImage, WithdrawImage
from calipso.errors import Invalid, NotFound
from calipso.events.image import Image
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime
from calipso.projections import images
from calipso.projections.images import ImageRow
from calipso.projections.past import CATALOGUE
from calipso.sizes import format_cpus, format_size

blueprint = Blueprint("images")

T = TypeVar("T")

_RUNTIME_IDS = {Runtime.DOCKER: 1, Runtime.KUBERNETES: 2, Runtime.VIRTUAL_MACHINE: 3, Runtime.STATIC_LINK: 4}
_RUNTIMES: dict[int | str, Runtime] = {
    "": Runtime.DOCKER,
    "docker": Runtime.DOCKER,
    **{runtime.value: runtime for runtime in Runtime},
    **{runtime.value.replace("_", " "): runtime for runtime in Runtime},
    **{number: runtime for runtime, number in _RUNTIME_IDS.items()},
}
_UNSIZED = {Runtime.VIRTUAL_MACHINE, Runtime.STATIC_LINK}  # a flavor, or nothing, says how large these are
_SHOWN_BY = ("images",)


class ImageBody(msgspec.Struct):
    """What a client says of an image; what may be left out stays as it is, or empty for a new one."""

    image: str
    protocol: str | None
    cpu: Number
    memory: Number
    hdd: Number
    resource_type: int | str | None = None
    port_hook: str | None = None
    logs_er: str | None = None
    parameters: dict[str, str] | None = None
    node_selector: dict[str, str] | None = None
    tolerations: list[str] | None = None


@blueprint.get("/images/")
@signed_in
async def every(request: Request) -> HTTPResponse:
    """All images."""
    return repeatable(request, json([image_object(row) for row in await _catalogue(request, images.every)]))


@blueprint.get("/images/<public_name:str>/", unquote=True)
@signed_in
async def one(request: Request, public_name: str) -> HTTPResponse:
    """One image by its name."""
    name = read_name("image", public_name)
    row = await _catalogue(request, partial(images.by_name, name=name))
    if row is None:
        raise NotFound("image", name)
    return json(image_object(row))


async def _catalogue(request: Request, ask: Callable[[Connection], T]) -> T:
    """Ask the catalogue as it is, or as it was at the time that the address names."""
    return await past.query(request, ask, lambda _: CATALOGUE, is_personal=False)


@blueprint.post("/images/<public_name:str>/", unquote=True)
@signed_in
async def add(request: Request, public_name: str) -> HTTPResponse:
    """Put an image into the catalogue."""
    require_administrator(request)
    context, name = context_of(request), read_name("image", public_name)
    spec = read_spec(read_body(request, ImageBody), None)
    command = AddImage(image_id=context.backend.installation.naming.image(name), name=name, spec=spec)
    await context.dispatch(command, request, shown_by=_SHOWN_BY)
    return HTTPResponse(status=201)


@blueprint.put("/images/<public_name:str>/", unquote=True)
@signed_in
async def change(request: Request, public_name: str) -> HTTPResponse:
    """Let an image say something else; containers that run keep what they were started with."""
    require_administrator(request)
    context, name = context_of(request), read_name("image", public_name)
    image_id = context.backend.installation.naming.image(name)
    known = await asyncio.to_thread(context.backend.dispatcher.state, IMAGE, image_id)
    if known is None:
        raise NotFound("image", name)
    spec = read_spec(read_body(request, ImageBody), known)
    await context.dispatch(ChangeImage(image_id=image_id, name=name, spec=spec), request, shown_by=_SHOWN_BY)
    return HTTPResponse(status=200)


@blueprint.delete("/images/<public_name:str>/", unquote=True)
@signed_in
async def withdraw(request: Request, public_name: str) -> HTTPResponse:
    """Take an image out of the catalogue; containers that run are not touched."""
    require_administrator(request)
    context, name = context_of(request), read_name("image", public_name)
    command = WithdrawImage(image_id=context.backend.installation.naming.image(name), name=name)
    await context.dispatch(command, request, shown_by=_SHOWN_BY)
    return HTTPResponse(status=204)


def image_object(row: ImageRow) -> ImageObject:
    """The JSON object of an image."""
    spec = row.spec
    return ImageObject(
        public_name=row.name,
        image=spec.reference,
        protocol=spec.protocol.value,
        cpu=format_cpus(spec.resources.millicores),
        memory=format_size(spec.resources.memory),
        hdd=format_size(spec.resources.disk),
        resource_type=_RUNTIME_IDS[spec.runtime],
    )


def read_spec(body: ImageBody, known: Image | None) -> ImageSpec:
    """What a client says of an image, as a value.

    Args:
        body: as it came.
        known: the image as it is, None for a new one.

    Raises:
        Invalid: names the field that is wrong.
    """
    base = known.spec if known else _EMPTY
    runtime = base.runtime if known and body.resource_type is None else _read_runtime(body.resource_type)
    return replace(
        base,
        reference=read_text(body.image, "image"),
        runtime=runtime,
        protocol=_read_protocol(body.protocol),
        resources=_read_resources(body, runtime),
        port_hook=base.port_hook if body.port_hook is None else read_text(body.port_hook, "port_hook"),
        logs_er=base.logs_er if body.logs_er is None else read_text(body.logs_er, "logs_er"),
        targets=base.targets if runtime is base.runtime else (),
        parameters=_kept(body.parameters, base.parameters),
        node_selector=_kept(body.node_selector, base.node_selector),
        tolerations=base.tolerations if body.tolerations is None else tuple(body.tolerations),
    )


def _kept(given: dict[str, str] | None, known: Mapping[str, str]) -> Mapping[str, str]:
    return known if given is None else given


_EMPTY = ImageSpec(reference="", runtime=Runtime.DOCKER, protocol=Protocol.NONE, resources=Resources())


def _read_runtime(value: int | str | None) -> Runtime:
    found = _RUNTIMES.get((value or "").strip().lower() if value is None or isinstance(value, str) else value)
    if found is None:
        raise Invalid("resource_type", "must be docker, kubernetes, virtual machine or static link")
    return found


def _read_protocol(value: str | None) -> Protocol:
    try:
        return Protocol((value or "").strip().lower())
    except ValueError as error:
        raise Invalid("protocol", f"must be empty or one of {', '.join(p for p in Protocol if p)}") from error


def _read_resources(body: ImageBody, runtime: Runtime) -> Resources:
    """The resources; a client may leave them empty where the runtime does not take them from the image."""
    empty = {None, ""} if runtime in _UNSIZED else set()
    return Resources(
        millicores=0 if body.cpu in empty else read_cpus(body.cpu, "cpu"),
        memory=0 if body.memory in empty else read_size(body.memory, "memory"),
        disk=0 if body.hdd in empty else read_size(body.hdd, "hdd"),
    )
