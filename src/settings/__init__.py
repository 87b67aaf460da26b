"""Every setting, from the environment (`CALIPSO_...`) and one TOML file; all faults are told at once, at the start.

The settings of one subject stand in one module of this folder. The description of a field is its documentation.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from calipso.commands.policy import Policy
from calipso.errors import Invalid
from calipso.events.values import Runtime
from calipso.settings.experiments import ExperimentSettings
from calipso.settings.http import HttpSettings
from calipso.settings.places import PlaceSettings, default_data
from calipso.settings.rules import RuleSettings
from calipso.settings.sign_in import SignInSettings
from calipso.settings.sources import FileSource, toml_source
from calipso.settings.targets import TargetSettings, TargetsSettings

__all__ = ["Settings", "TargetSettings", "default_data", "load", "secret"]


class Settings(TargetsSettings, RuleSettings, ExperimentSettings, SignInSettings, HttpSettings, PlaceSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(env_prefix="CALIPSO_", extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        told = (self.place_faults, self.http_faults, self.sign_in_faults, self.experiment_faults, self.rule_faults)
        if faults := [fault for tell in told for fault in tell()]:
            raise ValueError("; ".join(faults))
        return self

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
        return init_settings, env_settings, FileSource(settings_cls), toml_source(settings_cls)

    @property
    def has_guacamole(self) -> bool:
        """Whether desktops are shown in Guacamole; the API needs not its database for that."""
        return bool(self.guacamole_database_url or self.guacamole_url)

    def secrets(self) -> Iterator[str]:
        """Every value among the settings that nobody may see, also as parts of others."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                yield from value.get_secret_value().split()
            elif isinstance(value, str) and "://" in value and "@" in value:
                yield from _passwords(value)
        yield from (line.partition(":")[2] for line in self.master_keys.get_secret_value().split())

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
            stop_limit=timedelta(seconds=self.stop_grace + self.stop_limit),
            key_number=key_number,
            uses_user_uid=self.enable_non_root_uid_container,
            uses_user_gid=self.enable_non_root_gid_container,
            home=self.home_dir if self.add_home_dir_to_all_containers else "",
            other_volumes=self.other_volumes(),
        )


def _passwords(url: str) -> Iterator[str]:
    """The passwords of an address, which may name several servers."""
    for account in (part.rpartition("@")[0] for part in url.split(",")):
        parts = urlsplit(f"{account}@host")
        # of NATS, an account without a password is the secret
        sent = parts.password or (parts.username if parts.scheme in {"nats", "tls"} else "") or ""
        yield from {sent, unquote(sent)}


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
        raise Invalid("settings", "; ".join(_fault(fault) for fault in error.errors())) from error


def _fault(fault: ErrorDetails) -> str:
    # a fault of several settings together names them in its own text
    place = ".".join(str(part) for part in fault["loc"]).upper()
    return f"CALIPSO_{place}: {fault['msg']}" if place else str(fault["msg"])
