"""Binds targets to what makes containers there."""

from datetime import timedelta
from typing import TYPE_CHECKING

from calipso.backend import Backend
from calipso.errors import Invalid
from calipso.events.values import Runtime
from calipso.runtimes.protocol import ContainerRuntime, Target
from calipso.runtimes.static_link import StaticLinkRuntime
from calipso.settings import Settings

if TYPE_CHECKING:
    from calipso.runtimes.docker import DockerRuntime


def target_named(settings: Settings, name: str) -> Target:
    """The target of this name.

    Raises:
        Invalid: the settings know no such target.
    """
    known = {target.name: target for target in settings.effective_targets()}
    if name not in known:
        raise Invalid("target", f"{name!r} is none of {', '.join(sorted(known))}")
    return known[name]


def runtime_of(backend: Backend, target: Target) -> ContainerRuntime:
    """What makes containers on a target; the client of an engine is imported by those who serve one.

    Raises:
        Invalid: what the runtime needs is not installed.
    """
    match target.runtime:
        case Runtime.STATIC_LINK:
            return StaticLinkRuntime(target)
        case Runtime.DOCKER:
            return docker_of(backend, target)
        case Runtime.KUBERNETES:
            return _kubernetes(backend, target)
        case Runtime.VIRTUAL_MACHINE:
            return _virtual_machines(backend, target)


def docker_of(backend: Backend, target: Target) -> "DockerRuntime":
    """What makes containers on a Docker Engine."""
    from calipso.runtimes.docker import DockerRuntime  # noqa: PLC0415 - its client takes long to import

    settings = backend.settings
    return DockerRuntime(
        target,
        installation=str(backend.installation.id),
        facility=settings.facility,
        pids_limit=settings.pids_limit,
        roots=settings.volume_roots(),
    )


def _kubernetes(backend: Backend, target: Target) -> ContainerRuntime:
    from calipso.runtimes.kubernetes import KubernetesRuntime  # noqa: PLC0415 - its client takes long to import

    return KubernetesRuntime(
        target,
        grace=timedelta(seconds=backend.settings.stop_grace),
        installation=str(backend.installation.id),
        facility=backend.settings.facility,
        roots=backend.settings.volume_roots(),
    )


def _virtual_machines(backend: Backend, target: Target) -> ContainerRuntime:
    try:
        from calipso.runtimes.virtual_machine import VirtualMachineRuntime  # noqa: PLC0415 - needs an optional extra
    except ModuleNotFoundError as error:
        reason = (
            f"{target.name}: virtual machines need {error.name}, which is not installed: pip install calipso[libvirt]"
        )
        raise Invalid("targets", reason) from error
    settings = backend.settings
    return VirtualMachineRuntime(
        target,
        installation=str(backend.installation.id),
        facility=settings.facility,
        roots=settings.volume_roots(),
    )
