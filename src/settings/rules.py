"""The facility's rules: quotas, folders, and the numeric accounts of containers."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

from calipso import sizes
from calipso.events.values import Limits, Resources
from calipso.settings.kinds import Cpus, Folder, Numbers, Size


class RuleSettings(BaseSettings):
    """What decisions depend on."""

    max_resources_per_user: Annotated[int, Field(ge=0, description="active containers of a user")] = 5
    max_cpu_per_user: Annotated[Cpus, Field(description="processors of a user's containers together")] = "10"
    max_ram_per_user: Annotated[Size, Field(description="memory of a user's containers together")] = "30G"
    max_storage_per_user: Annotated[Size, Field(description="disk of a user's containers together")] = "80G"
    run_limit: Annotated[float, Field(gt=0, description="seconds until a requested container must be usable")] = 240
    experiments_datasets_root: Annotated[Folder, Field(description="folder of the data sets, read-only")] = "/tmp/data"  # noqa: S108 - the reference's default
    experiments_output: Annotated[Folder, Field(description="folder of the results, writable")] = "/tmp/results"  # noqa: S108 - the reference's default
    default_uid: Annotated[int, Field(ge=1, description="uid of containers for which nothing else names one")] = 1000
    default_gid: Annotated[int, Field(ge=1, description="gid of containers for which nothing else names one")] = 1000
    groups_docker_add: Annotated[Numbers, Field(description="supplementary groups besides 100, comma-separated")] = ()

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
