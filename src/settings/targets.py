"""The targets: where containers are made, and how they are looked after."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from calipso.events.values import Runtime
from calipso.runtimes.protocol import Target
from calipso.settings.kinds import SHORT_ID, Networks, Url, parse_json


class TargetSettings(BaseModel):
    """One target, as it stands in the setting `targets`."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=SHORT_ID, description="its name in subjects, labels and commands")]
    runtime: Annotated[Runtime, Field(description="docker_container, kubernetes, virtual_machine or static_link")]
    address: Annotated[
        str,
        Field(
            description="where its Docker Engine answers: unix:///..., tcp://host:port; of a cluster, its kubeconfig "
            "file, or in-cluster; of virtual machines, libvirt's URI, such as qemu:///system"
        ),
    ] = ""
    tls_ca: Annotated[Path | None, Field(description="certificate authority of the engine")] = None
    tls_cert: Annotated[Path | None, Field(description="our client certificate")] = None
    tls_key: Annotated[Path | None, Field(description="the key of our client certificate")] = None
    public_host: Annotated[str, Field(description="what guacd and browsers connect to")] = "127.0.0.1"
    publish_address: Annotated[str, Field(description="the private address on which ports are published")] = "127.0.0.1"
    guacd_host: Annotated[str, Field(description="the guacd near the target; empty: Guacamole's own")] = ""
    guacd_port: Annotated[int, Field(description="the port of that guacd")] = 4822
    capacity: Annotated[int, Field(ge=1, description="containers that it holds at most")] = 1000
    starts: Annotated[
        int,
        Field(
            ge=1,
            description="containers that it starts at one time, shared evenly by its provisioners; a fifth, of several "
            "at least one, is never one user's",
        ),
    ] = 10
    egress: Annotated[
        bool,
        Field(
            description="whether containers may reach what is outside; false on a Docker Engine: ports are not "
            "published, so guacd, provisioner and API must run on its host"
        ),
    ] = True
    guards_host: Annotated[
        bool,
        Field(
            description="of a Docker Engine: whether a rule in the firewall of its host keeps containers from the "
            "services there, and nothing starts where that rule cannot be put in place; false: you see to it "
            "(`ops/docker/firewall`), or nobody does"
        ),
    ] = True
    folder_image: Annotated[
        str,
        Field(
            description="an image with a shell, in which the folders of volumes are looked at and made on a cluster or "
            "an engine that is elsewhere; empty: the container's own image"
        ),
    ] = ""
    namespace: Annotated[
        str,
        Field(
            pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$",
            description="of a cluster: where its pods are made; empty: `default_kube_namespace`",
        ),
    ] = ""
    service: Annotated[
        Literal["NodePort", "ClusterIP"],
        Field(description="of a cluster: how pods are reached; ClusterIP when guacd and the API run inside it"),
    ] = "NodePort"
    networks: Annotated[
        Networks, Field(description="of a cluster: the networks of guacd and of ours, which alone may reach its pods")
    ] = ()
    volumes: Annotated[
        str,
        Field(
            pattern=r"^(host|nfs:[^:]+|claim:[^:]+:/.*)$",
            description="of a cluster: where folders are: host, nfs:SERVER, or claim:NAME:ROOT",
        ),
    ] = "host"
    pull_policy: Annotated[
        Literal["IfNotPresent", "Always", "Never"], Field(description="of a cluster: when its nodes pull images")
    ] = "IfNotPresent"
    pull_secrets: Annotated[
        tuple[str, ...], Field(description="of a cluster: the secrets with which its nodes pull images")
    ] = ()

    pool: Annotated[
        str, Field(min_length=1, description="of virtual machines: the storage pool with the disks of images")
    ] = "default"
    network: Annotated[
        str,
        Field(
            description="of virtual machines: libvirt's network that they are in; empty: none, only screens are reached"
        ),
    ] = "default"
    shares: Annotated[
        Literal["9p", "virtiofs"], Field(description="of virtual machines: how folders come into them")
    ] = "9p"

    @model_validator(mode="after")
    def _check_hypervisor(self) -> Self:
        if self.runtime is Runtime.VIRTUAL_MACHINE and "://" not in self.address:
            message = "a target of virtual machines needs `address` (libvirt's URI, such as qemu:///system)"
            raise ValueError(message)
        if self.runtime is Runtime.VIRTUAL_MACHINE and not self.egress:
            message = "what virtual machines may reach is said by their libvirt network: name an isolated one"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _check_cluster(self) -> Self:
        if self.runtime is Runtime.KUBERNETES and not (self.address and self.networks):
            message = "a kubernetes target needs `address` (a kubeconfig file, or in-cluster) and `networks`"
            raise ValueError(message)
        return self

    def to_target(self) -> Target:
        """The value that the runtimes take."""
        return Target(**self.model_dump())


class TargetsSettings(BaseSettings):
    """All targets, what holds for each of them, and Guacamole's web application."""

    docker_url_daemon: Annotated[str, Field(description="Docker Engine of the default target `docker`")] = (
        "unix:///var/run/docker.sock"
    )
    remote_machine_ip: Annotated[str, Field(description="public host of the default target `docker`")] = "127.0.0.1"
    remote_pods_machine_ip: Annotated[
        str, Field(description="address of the cluster's nodes, at which the ports of pods are reached")
    ] = "kube.machine"
    default_kube_namespace: Annotated[str, Field(description="namespace in which pods are made")] = "default"
    targets: Annotated[
        tuple[TargetSettings, ...],
        NoDecode,
        BeforeValidator(parse_json),
        Field(description="all targets, as JSON; empty: `links` and `docker`"),
    ] = ()
    pids_limit: Annotated[int, Field(ge=16, description="processes of one container")] = 512
    stop_grace: Annotated[float, Field(ge=0, description="seconds between asking a container to stop and force")] = 10
    stop_limit: Annotated[
        float, Field(gt=0, description="seconds beyond the grace until what was asked to stop is removed by force")
    ] = 45
    stopped_limit: Annotated[
        float, Field(gt=0, description="seconds until a stopped container that nobody removes is removed")
    ] = 86_400
    reconcile_period: Annotated[float, Field(gt=0, description="seconds between looks at what a target has")] = 30
    lost_grace: Annotated[float, Field(ge=0, description="seconds before an absent container counts as lost")] = 5
    guacamole_url: Annotated[
        Url,
        Field(
            description="Guacamole's web application as the API reaches it, such as http://guacamole:8080/guacamole/"
        ),
    ] = ""
    guacamole_public_url: Annotated[
        Url, Field(description="Guacamole's web application as browsers reach it; empty: the same")
    ] = ""

    @field_validator("targets")
    @classmethod
    def _check_names(cls, value: tuple[TargetSettings, ...]) -> tuple[TargetSettings, ...]:
        if len({target.name for target in value}) != len(value):
            message = "every target needs a name of its own"
            raise ValueError(message)
        return value

    def _complete(self, target: TargetSettings) -> TargetSettings:
        """A target with what holds for all clusters, where it says nothing of its own."""
        if target.runtime is not Runtime.KUBERNETES:
            return target.model_copy(update={"namespace": target.namespace or "default"})
        has_host = "public_host" in target.model_fields_set
        return target.model_copy(
            update={
                "namespace": target.namespace or self.default_kube_namespace,
                "public_host": target.public_host if has_host else self.remote_pods_machine_ip,
            }
        )

    def effective_targets(self) -> tuple[Target, ...]:
        """The targets that are set, or the two of the default."""
        if self.targets:
            return tuple(self._complete(target).to_target() for target in self.targets)
        docker = Target(
            name="docker",
            runtime=Runtime.DOCKER,
            address=self.docker_url_daemon,
            public_host=self.remote_machine_ip,
        )
        return Target(name="links", runtime=Runtime.STATIC_LINK), docker
