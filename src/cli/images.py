"""The catalogue of images."""

from dataclasses import replace
from typing import Annotated, Any

import typer

from calipso import sizes
from calipso.cli.common import Data, dispatch, running
from calipso.commands.handling import IMAGE
from calipso.commands.image import AddImage, ChangeImage, WithdrawImage
from calipso.errors import Invalid, NotFound
from calipso.events.values import ImageSpec, Protocol, Resources, Runtime

app = typer.Typer(help="Add, change and withdraw what may be launched.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The entry's public name.")]
Image = Annotated[str | None, typer.Option(help="The runtime's name of the image, or the address of a link.")]
ProtocolOption = Annotated[str | None, typer.Option("--protocol", help="vnc, rdp, ssh, http, or empty.")]
Cpu = Annotated[str | None, typer.Option(help="Processors, such as 2 or 0.5.")]
Memory = Annotated[str | None, typer.Option(help="Memory, such as 3G.")]
Hdd = Annotated[str | None, typer.Option(help="Disk, such as 5G.")]
ResourceType = Annotated[Runtime | None, typer.Option(help="The runtime that makes its containers.")]
PortHook = Annotated[str | None, typer.Option(help="The port of its service, such as 5901/tcp.")]
LogsEr = Annotated[str | None, typer.Option(help="Regular expression that its log must match before it is usable.")]
TargetOption = Annotated[list[str] | None, typer.Option("--target", help="A target that may run it; all by default.")]

_DEFAULT = ImageSpec(
    reference="",
    runtime=Runtime.DOCKER,
    protocol=Protocol.NONE,
    resources=Resources(millicores=1000, memory=3 * sizes.GIB, disk=5 * sizes.GIB),
)
_NO_RESOURCES = Resources()


@app.command(
    epilog="Example: `calipso images add desktop --image calipso/desktop:1 --protocol vnc --cpu 1 --memory 2G --hdd 5G "
    "--resource-type docker_container`"
)
def add(
    name: Name,
    image: Image = None,
    protocol: ProtocolOption = None,
    cpu: Cpu = None,
    memory: Memory = None,
    hdd: Hdd = None,
    resource_type: ResourceType = None,
    port_hook: PortHook = None,
    logs_er: LogsEr = None,
    target: TargetOption = None,
    data: Data = None,
) -> None:
    """Put an entry into the catalogue."""
    base = _DEFAULT if resource_type is not Runtime.STATIC_LINK else replace(_DEFAULT, resources=_NO_RESOURCES)
    spec = _changed(base, image, protocol, cpu, memory, hdd, resource_type, port_hook, logs_er, target)
    with running(data) as backend:
        dispatch(backend, AddImage(image_id=backend.installation.naming.image(name), name=name, spec=spec))
    print(f'Successfully added image "{name}"')


@app.command(epilog="Example: `calipso images change desktop --memory 4G`")
def change(
    name: Name,
    image: Image = None,
    protocol: ProtocolOption = None,
    cpu: Cpu = None,
    memory: Memory = None,
    hdd: Hdd = None,
    resource_type: ResourceType = None,
    port_hook: PortHook = None,
    logs_er: LogsEr = None,
    target: TargetOption = None,
    data: Data = None,
) -> None:
    """Change what is given of an entry; containers that run keep what they were started with."""
    with running(data) as backend:
        image_id = backend.installation.naming.image(name)
        known = backend.dispatcher.state(IMAGE, image_id)
        if known is None:
            raise NotFound("image", name)
        spec = _changed(known.spec, image, protocol, cpu, memory, hdd, resource_type, port_hook, logs_er, target)
        dispatch(backend, ChangeImage(image_id=image_id, name=name, spec=spec))
    print(f'Successfully changed image "{name}"')


@app.command(epilog="Example: `calipso images withdraw desktop`")
def withdraw(name: Name, data: Data = None) -> None:
    """Take an entry out of the catalogue; containers that run are not touched."""
    with running(data) as backend:
        dispatch(backend, WithdrawImage(image_id=backend.installation.naming.image(name), name=name))
    print(f'Successfully withdrew image "{name}"')


def _changed(
    spec: ImageSpec,
    image: str | None,
    protocol: str | None,
    cpu: str | None,
    memory: str | None,
    hdd: str | None,
    runtime: Runtime | None,
    port_hook: str | None,
    logs_er: str | None,
    targets: list[str] | None,
) -> ImageSpec:
    resources = {
        "millicores": None if cpu is None else sizes.parse_cpus(cpu, "cpu"),
        "memory": None if memory is None else sizes.parse_size(memory, "memory"),
        "disk": None if hdd is None else sizes.parse_size(hdd, "hdd"),
    }
    changes = {
        "reference": image,
        "runtime": runtime,
        "protocol": None if protocol is None else parse_protocol(protocol),
        "port_hook": port_hook,
        "logs_er": logs_er,
        "targets": None if targets is None else tuple(targets),
        "resources": replace(spec.resources, **_given(resources)),
    }
    return replace(spec, **_given(changes))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def parse_protocol(text: str) -> Protocol:
    """The protocol of a word.

    Raises:
        Invalid: there is no such protocol.
    """
    try:
        return Protocol(text)
    except ValueError as error:
        raise Invalid(
            "protocol", f"{text[:40]!r} is none of {', '.join(p.value or '(empty)' for p in Protocol)}"
        ) from error
