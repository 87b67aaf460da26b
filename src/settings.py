"""Every setting, from the environment (`CALIPSO_...`) and one TOML file; all faults are told at once, at the start."""

import hashlib
import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from calipso import sizes
from calipso.commands.policy import Policy
from calipso.errors import Invalid
from calipso.events.values import Limits, Resources, Runtime
from calipso.runtimes.protocol import Target

_SHORT_ID = r"^[a-z0-9][a-z0-9-]{0,62}$"


class TargetSettings(BaseModel):
    """One target, as it stands in the setting `targets`."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=_SHORT_ID, description="its name in subjects, labels and commands")]
    runtime: Annotated[Runtime, Field(description="docker_container or static_link")]
    address: Annotated[str, Field(description="where its Docker Engine answers: unix:///..., tcp://host:port")] = ""
    tls_ca: Annotated[Path | None, Field(description="certificate authority of the engine")] = None
    tls_cert: Annotated[Path | None, Field(description="our client certificate")] = None
    tls_key: Annotated[Path | None, Field(description="the key of our client certificate")] = None
    public_host: Annotated[str, Field(description="what guacd and browsers connect to")] = "127.0.0.1"
    publish_address: Annotated[str, Field(description="the private address on which ports are published")] = "127.0.0.1"
    guacd_host: Annotated[str, Field(description="the guacd near the target; empty: Guacamole's own")] = ""
    guacd_port: Annotated[int, Field(description="the port of that guacd")] = 4822
    capacity: Annotated[int, Field(ge=1, description="containers that it holds at most")] = 1000
    starts: Annotated[int, Field(ge=1, description="containers that it starts at one time")] = 8

    def to_target(self) -> Target:
        """The value that the runtimes take."""
        return Target(**self.model_dump())


class _FileSource(PydanticBaseSettingsSource):
    """Values that lie in files: `CALIPSO_MASTER_KEYS_FILE` names the file that holds `master_keys`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - inherited
        """The content of the file named for a field, if one is."""
        path = os.environ.get(f"CALIPSO_{field_name.upper()}_FILE")
        try:
            return (Path(path).read_text().strip() if path else None), field_name, False
        except OSError as error:
            raise Invalid(f"CALIPSO_{field_name.upper()}_FILE", str(error)) from error

    def __call__(self) -> dict[str, Any]:
        """All values that lie in files."""
        found = {name: self.get_field_value(info, name)[0] for name, info in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """The settings of one process. The description of each field is its documentation."""

    model_config = SettingsConfigDict(env_prefix="CALIPSO_", extra="ignore", frozen=True)

    # where things are
    data: Annotated[
        Path,
        Field(
            description="folder of the embedded default: PostgreSQL, NATS, master key; for root in a place that others "
            "cannot enter, a folder below /var/lib/calipso",
            default_factory=lambda: default_data(Path.cwd()),
        ),
    ]
    database_url: Annotated[str, Field(description="PostgreSQL of the events; empty: the embedded one in `data`")] = ""
    guacamole_database_url: Annotated[
        str, Field(description="Guacamole's database, postgresql:// or mysql://; empty: embedded, or none")
    ] = ""
    nats_url: Annotated[str, Field(description="NATS server; empty: the embedded one in `data`")] = ""
    master_keys: Annotated[
        SecretStr, Field(description="lines NUMBER:BASE64 of 32 bytes; best given as CALIPSO_MASTER_KEYS_FILE")
    ] = SecretStr("")
    # who we are
    facility: Annotated[
        str, Field(pattern=_SHORT_ID, description="short id of the facility, in subjects and labels")
    ] = "calipso"
    # http
    host: Annotated[str, Field(description="address on which the API listens")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="port on which the API listens")] = 8000
    cors_origin_whitelist: Annotated[
        tuple[str, ...], NoDecode, Field(description="origins of frontends, with or without scheme, comma-separated")
    ] = ()
    cookie_secure: Annotated[bool, Field(description="mark cookies Secure; set it when served by HTTPS")] = False
    proxies_count: Annotated[
        int, Field(ge=0, description="proxies in front of the API, whose X-Forwarded headers are believed")
    ] = 0
    # the facility's rules
    max_resources_per_user: Annotated[int, Field(ge=0, description="active containers of a user")] = 5
    max_cpu_per_user: Annotated[str, Field(description="processors of a user's containers together")] = "10"
    max_ram_per_user: Annotated[str, Field(description="memory of a user's containers together")] = "30G"
    max_storage_per_user: Annotated[str, Field(description="disk of a user's containers together")] = "80G"
    page_size_experiments: Annotated[int, Field(ge=1, description="experiments on a page")] = 7
    page_size_users: Annotated[int, Field(ge=1, description="users on a page")] = 20
    allow_local_authentication: Annotated[bool, Field(description="whether frontends offer local accounts")] = True
    backend_default_authorization: Annotated[
        bool, Field(description="whether every user may have containers without a session")
    ] = True
    experiments_datasets_root: Annotated[str, Field(description="folder of the data sets, read-only")] = "/tmp/data"  # noqa: S108 - the reference's default
    experiments_output: Annotated[str, Field(description="folder of the results, writable")] = "/tmp/results"  # noqa: S108 - the reference's default
    default_uid: Annotated[int, Field(ge=1, description="uid of containers for which nothing else names one")] = 1000
    default_gid: Annotated[int, Field(ge=1, description="gid of containers for which nothing else names one")] = 1000
    groups_docker_add: Annotated[
        tuple[int, ...], NoDecode, Field(description="supplementary groups besides 100, comma-separated")
    ] = ()
    run_limit: Annotated[float, Field(gt=0, description="seconds until a requested container must be usable")] = 240
    # targets
    docker_url_daemon: Annotated[str, Field(description="Docker Engine of the default target `docker`")] = (
        "unix:///var/run/docker.sock"
    )
    remote_machine_ip: Annotated[str, Field(description="public host of the default target `docker`")] = "127.0.0.1"
    targets: Annotated[
        tuple[TargetSettings, ...], Field(description="all targets, as JSON; empty: `links` and `docker`")
    ] = ()
    pids_limit: Annotated[int, Field(ge=16, description="processes of one container")] = 512
    stop_grace: Annotated[float, Field(ge=0, description="seconds between asking a container to stop and force")] = 10
    reconcile_period: Annotated[float, Field(gt=0, description="seconds between looks at what a target has")] = 30
    lost_grace: Annotated[float, Field(ge=0, description="seconds before an absent container counts as lost")] = 5
    # running
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="what is logged")] = "info"

    @field_validator("cors_origin_whitelist", "groups_docker_add", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value

    @field_validator("max_cpu_per_user", "max_ram_per_user", "max_storage_per_user")
    @classmethod
    def _check_size(cls, value: str, info: ValidationInfo) -> str:
        parse = sizes.parse_cpus if info.field_name == "max_cpu_per_user" else sizes.parse_size
        try:
            parse(value, str(info.field_name))
        except Invalid as error:
            raise ValueError(error.reason) from error
        return value

    @field_validator("experiments_datasets_root", "experiments_output")
    @classmethod
    def _check_absolute(cls, value: str) -> str:
        if not value.startswith("/"):
            message = "must be an absolute path"
            raise ValueError(message)
        return value

    @field_validator("targets")
    @classmethod
    def _check_names(cls, value: tuple[TargetSettings, ...]) -> tuple[TargetSettings, ...]:
        if len({target.name for target in value}) != len(value):
            message = "every target needs a name of its own"
            raise ValueError(message)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments before environment before files named in the environment before the settings file."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=os.environ.get("CALIPSO_SETTINGS_FILE"))
        return init_settings, env_settings, _FileSource(settings_cls), toml

    def limits(self) -> Limits:
        """The quota of users without one of their own."""
        return Limits(
            containers=self.max_resources_per_user,
            resources=Resources(
                millicores=sizes.parse_cpus(self.max_cpu_per_user, "max_cpu_per_user"),
                memory=sizes.parse_size(self.max_ram_per_user, "max_ram_per_user"),
                disk=sizes.parse_size(self.max_storage_per_user, "max_storage_per_user"),
            ),
        )

    def effective_targets(self) -> tuple[Target, ...]:
        """The targets that are set, or the two of the default."""
        if self.targets:
            return tuple(target.to_target() for target in self.targets)
        docker = Target(
            name="docker",
            runtime=Runtime.DOCKER,
            address=self.docker_url_daemon,
            public_host=self.remote_machine_ip,
        )
        return Target(name="links", runtime=Runtime.STATIC_LINK), docker

    def policy(self, key_number: int) -> Policy:
        """The facility's rules as decisions see them."""
        targets = self.effective_targets()
        return Policy(
            limits=self.limits(),
            targets={runtime: tuple(t.name for t in targets if t.runtime is runtime) for runtime in Runtime},
            datasets_root=self.experiments_datasets_root.rstrip("/"),
            output_root=self.experiments_output.rstrip("/"),
            uid=self.default_uid,
            gid=self.default_gid,
            groups=(100, *self.groups_docker_add),
            run_limit=timedelta(seconds=self.run_limit),
            key_number=key_number,
        )


def default_data(here: Path) -> Path:
    """The folder `data` in the current one, unless the account of root's PostgreSQL could not reach it.

    Args:
        here: the current folder.
    """
    closed = [folder for folder in (here, *here.parents) if not folder.stat().st_mode & stat.S_IXOTH]
    if os.geteuid() == 0 and closed:
        return Path("/var/lib/calipso") / hashlib.sha256(str(here).encode()).hexdigest()[:12]
    return here / "data"


def secret(text: str) -> SecretStr:
    """A text that is not shown by accident."""
    return SecretStr(text)


def load(**given: Any) -> Settings:  # noqa: ANN401 - any field of Settings
    """Read the settings; `given` wins over environment and file.

    Raises:
        Invalid: names every fault, each with its setting.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        faults = [
            f"CALIPSO_{'.'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise Invalid("settings", "; ".join(faults)) from error
