"""Where settings come from: arguments, the environment, files that the environment names, and one TOML file."""

import os
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, TomlConfigSettingsSource

from calipso.errors import Invalid


class FileSource(PydanticBaseSettingsSource):
    """Values that lie in files: `CALIPSO_MASTER_KEYS_FILE` names the file that holds `master_keys`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - inherited
        """The content of the file named for a field, if one is.

        Raises:
            Invalid: the file cannot be read.
        """
        path = os.environ.get(f"CALIPSO_{field_name.upper()}_FILE")
        try:
            return (Path(path).read_text().strip() if path else None), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid("settings", f"CALIPSO_{field_name.upper()}_FILE: {error}") from error

    def __call__(self) -> dict[str, Any]:
        """All values that lie in files."""
        found = {name: self.get_field_value(info, name)[0] for name, info in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def toml_source(settings_cls: type[BaseSettings]) -> TomlConfigSettingsSource:
    """Values of the TOML file that CALIPSO_SETTINGS_FILE names.

    Raises:
        Invalid: the file is not there, or is no TOML.
    """
    path = os.environ.get("CALIPSO_SETTINGS_FILE")
    if path and not Path(path).is_file():
        raise Invalid("settings", f"CALIPSO_SETTINGS_FILE: there is no file {path}")
    try:
        return TomlConfigSettingsSource(settings_cls, toml_file=path)
    except (OSError, ValueError) as error:
        raise Invalid("settings", f"CALIPSO_SETTINGS_FILE: {path}: {error}") from error
