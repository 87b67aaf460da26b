"""The catalogue of images."""

from dataclasses import dataclass, replace
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
Parameter = Annotated[
    list[str] | None, typer.Option(help="A parameter of its connection in Guacamole, such as color-depth=16; all anew.")
]
NodeSelector = Annotated[
    list[str] | None, typer.Option(help="A label that nodes of a cluster must have, such as gpu=yes; all anew.")
]
Toleration = Annotated[
    list[str] | None, typer.Option(help="A taint of nodes that it bears, such as gpu=yes:NoSchedule; all anew.")
]

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
    parameter: Parameter = None,
    node_selector: NodeSelector = None,
    toleration: Toleration = None,
    data: Data = None,
) -> None:
    """Put an entry into the catalogue."""
    base = _DEFAULT if resource_type is not Runtime.STATIC_LINK else replace(_DEFAULT, resources=_NO_RESOURCES)
    given = _Given(
        image=image,
        protocol=protocol,
        cpu=cpu,
        memory=memory,
        hdd=hdd,
        resource_type=resource_type,
        port_hook=port_hook,
        logs_er=logs_er,
        targets=target,
        parameters=parameter,
        node_selector=node_selector,
        tolerations=toleration,
    )
    spec = given.upon(base)
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
    parameter: Parameter = None,
    node_selector: NodeSelector = None,
    toleration: Toleration = None,
    data: Data = None,
) -> None:
    """Change what is given of an entry; containers that run keep what they were started with."""
    given = _Given(
        image=image,
        protocol=protocol,
        cpu=cpu,
        memory=memory,
        hdd=hdd,
        resource_type=resource_type,
        port_hook=port_hook,
        logs_er=logs_er,
        targets=target,
        parameters=parameter,
        node_selector=node_selector,
        tolerations=toleration,
    )
    with running(data) as backend:
        image_id = backend.installation.naming.image(name)
        known = backend.dispatcher.state(IMAGE, image_id)
        if known is None:
            raise NotFound("image", name)
        dispatch(backend, ChangeImage(image_id=image_id, name=name, spec=given.upon(known.spec)))
    print(f'Successfully changed image "{name}"')


@app.command(epilog="Example: `calipso images withdraw desktop`")
def withdraw(name: Name, data: Data = None) -> None:
    """Take an entry out of the catalogue; containers that run are not touched."""
    with running(data) as backend:
        dispatch(backend, WithdrawImage(image_id=backend.installation.naming.image(name), name=name))
    print(f'Successfully withdrew image "{name}"')


@dataclass(frozen=True, kw_only=True)
class _Given:
    """The options as they were given; None for those that were not."""

    image: str | None
    protocol: str | None
    cpu: str | None
    memory: str | None
    hdd: str | None
    resource_type: Runtime | None
    port_hook: str | None
    logs_er: str | None
    targets: list[str] | None
    parameters: list[str] | None
    node_selector: list[str] | None
    tolerations: list[str] | None

    def upon(self, spec: ImageSpec) -> ImageSpec:
        """What an entry says with these options.

        Raises:
            Invalid: an option cannot be read.
        """
        resources = {
            "millicores": None if self.cpu is None else sizes.parse_cpus(self.cpu, "cpu"),
            "memory": None if self.memory is None else sizes.parse_size(self.memory, "memory"),
            "disk": None if self.hdd is None else sizes.parse_size(self.hdd, "hdd"),
        }
        changes = {
            "reference": self.image,
            "runtime": self.resource_type,
            "protocol": None if self.protocol is None else parse_protocol(self.protocol),
            "port_hook": self.port_hook,
            "logs_er": self.logs_er,
            "targets": None if self.targets is None else tuple(self.targets),
            "parameters": _pairs("--parameter", self.parameters),
            "node_selector": _pairs("--node-selector", self.node_selector),
            "tolerations": None if self.tolerations is None else tuple(self.tolerations),
            "resources": replace(spec.resources, **_present(resources)),
        }
        return replace(spec, **_present(changes))


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _pairs(option: str, texts: list[str] | None) -> dict[str, str] | None:
    """The values of an option that is given as NAME=VALUE; an empty text takes all away."""
    if texts is None:
        return None
    split = [text.partition("=") for text in texts if text]
    if wrong := next((name for name, sign, _ in split if not name or not sign), None):
        raise Invalid(option, f"{wrong[:40]!r} must look like NAME=VALUE")
    return {name: value for name, _, value in split}


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
