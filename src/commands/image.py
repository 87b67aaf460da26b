"""The catalogue of what may be launched."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from calipso.commands.connection import check_parameters
from calipso.commands.handling import IMAGE, Circumstances, Reader, handles
from calipso.commands.policy import Policy
from calipso.commands.texts import check_text
from calipso.errors import AlreadyExists, Invalid, NotFound
from calipso.events import image as facts
from calipso.events.envelope import Event
from calipso.events.image import Image
from calipso.events.values import ImageSpec, Runtime

# what begins with a dash, leads upwards, or holds spaces is no name in any runtime
_REFERENCE = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./:@?=&+-]{0,511}")
_PORT_HOOK = re.compile(r"[0-9]{1,5}/(tcp|udp)")
# as Kubernetes has them: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
_LABEL_VALUE = "([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"
_LABEL_KEY = "([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_TOLERATION = re.compile(f"{_LABEL_KEY}(={_LABEL_VALUE})?(:(NoSchedule|PreferNoSchedule|NoExecute))?")


@dataclass(frozen=True, kw_only=True)
class AddImage:
    """Put an entry into the catalogue; `image_id` is the keyed hash of its name."""

    image_id: UUID
    name: str
    spec: ImageSpec


@dataclass(frozen=True, kw_only=True)
class ChangeImage:
    """Let an entry say something else."""

    image_id: UUID
    name: str
    spec: ImageSpec


@dataclass(frozen=True, kw_only=True)
class WithdrawImage:
    """Take an entry out of the catalogue; containers that run are not touched."""

    image_id: UUID
    name: str


@handles(AddImage)
@handles(ChangeImage)
@handles(WithdrawImage)
def handle(
    command: AddImage | ChangeImage | WithdrawImage, read: Reader, circumstances: Circumstances
) -> Sequence[Event]:
    """Decide on the entry as it is."""
    return decide(command, read(IMAGE, command.image_id), circumstances.policy)


def decide(command: AddImage | ChangeImage | WithdrawImage, image: Image | None, policy: Policy) -> Sequence[Event]:
    """What follows for the entry.

    Raises:
        AlreadyExists: an entry of this name is there.
        NotFound: there is no entry of this name.
        Invalid: a value of the entry is not lawful.
    """
    if not isinstance(command, WithdrawImage):
        check(command.name, command.spec, policy)
    if isinstance(command, AddImage):
        if image is not None:
            raise AlreadyExists("image", command.name)
        return [facts.ImageAdded(image_id=command.image_id, name=command.name, spec=command.spec)]
    if image is None:
        raise NotFound("image", command.name)
    if isinstance(command, WithdrawImage):
        return [facts.ImageWithdrawn(image_id=command.image_id)]
    return [] if image.spec == command.spec else [facts.ImageChanged(image_id=command.image_id, spec=command.spec)]


def check(name: str, spec: ImageSpec, policy: Policy) -> None:
    """Refuse an entry that could never be launched.

    Raises:
        Invalid: names the value.
    """
    if not name or "/" in name:
        raise Invalid("public_name", "must be a name without '/'")
    for field, text in (("public_name", name), ("image", spec.reference), ("logs_er", spec.logs_er)):
        check_text(field, text)
    if not spec.reference:
        raise Invalid("image", "must name an image of the runtime, or the address of a link")
    if spec.runtime is not Runtime.STATIC_LINK and not _REFERENCE.fullmatch(spec.reference):
        raise Invalid("image", "must be the name of an image, such as registry.example.org/desktop:1")
    if spec.runtime is Runtime.STATIC_LINK and not spec.reference.startswith(("http://", "https://")):
        raise Invalid("image", "a link must begin with http:// or https://")
    if min(spec.resources.millicores, spec.resources.memory, spec.resources.disk) < 0:
        raise Invalid("cpu, memory, hdd", "must not be negative")
    if spec.port_hook and not _PORT_HOOK.fullmatch(spec.port_hook):
        raise Invalid("port_hook", "must look like 5901/tcp")
    _check_pattern(spec.logs_er)
    check_parameters(spec.protocol, spec.parameters)
    _check_nodes(spec)
    if unknown := set(spec.targets) - set(policy.targets.get(spec.runtime, ())):
        raise Invalid("targets", f"no target of runtime {spec.runtime} is called {', '.join(sorted(unknown))}")


def _check_nodes(spec: ImageSpec) -> None:
    if spec.runtime is not Runtime.KUBERNETES and (spec.node_selector or spec.tolerations):
        raise Invalid("node_selector, tolerations", f"have no meaning for runtime {spec.runtime}")
    for key, value in spec.node_selector.items():
        if not re.fullmatch(_LABEL_KEY, key) or not re.fullmatch(_LABEL_VALUE, value):
            raise Invalid("node_selector", f"{f'{key}={value}'[:100]!r} is not a label of Kubernetes, such as gpu=yes")
    for toleration in spec.tolerations:
        if not _TOLERATION.fullmatch(toleration):
            raise Invalid("tolerations", f"{toleration[:100]!r} does not look like gpu=yes:NoSchedule")


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise Invalid("logs_er", f"is not a regular expression: {error}") from error
