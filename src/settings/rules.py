"""The facility's rules: quotas, folders, and the numeric accounts of containers."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

from calipso import sizes
from calipso.commands.volumes import USERNAME, overlaps
from calipso.events.values import Limits, Mode, Resources, Volume
from calipso.settings.kinds import Cpus, Folder, Numbers, OtherFolders, Size, Url


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
    enable_non_root_uid_container: Annotated[
        bool,
        Field(
            description="whether containers have the uid of their user where the experiment names none; false: "
            "`default_uid`; never root"
        ),
    ] = True
    enable_non_root_gid_container: Annotated[bool, Field(description="the same for the gid")] = True
    api_url_for_uid_and_gid: Annotated[
        Url,
        Field(
            description="where uid and gid of a user are asked for when neither the experiment nor the account names "
            "them; $USERNAME in it stands for the user name"
        ),
    ] = ""
    groups_docker_add: Annotated[Numbers, Field(description="supplementary groups besides 100, comma-separated")] = ()

    add_home_dir_to_all_containers: Annotated[
        bool, Field(description="whether containers see the home folder of their user, below /tmp/user/home")
    ] = False
    home_dir: Annotated[
        Folder, Field(description="the home folder of a user on the targets; $USERNAME stands for the user name")
    ] = "/home/$USERNAME"
    other_dirs_to_mount: Annotated[
        OtherFolders,
        Field(
            description="folders of the targets that every container sees, each SOURCE:PLACE:ro or :rw, comma-separated"
        ),
    ] = ()

    def other_volumes(self) -> tuple[Volume, ...]:
        """The folders that every container sees."""
        parts = [entry.split(":") for entry in self.other_dirs_to_mount]
        return tuple(Volume(source=source, bind=bind, mode=Mode(mode)) for source, bind, mode in parts)

    def volume_roots(self) -> tuple[str, ...]:
        """The folders below which volumes lie, and out of which no link of theirs may lead."""
        homes = self.home_dir.partition(f"/{USERNAME}")[0] if self.add_home_dir_to_all_containers else ""
        return (self.experiments_datasets_root, self.experiments_output, *filter(None, (homes,)))

    def rule_faults(self) -> Iterator[str]:
        """What is wrong with these settings together."""
        for volume in self.other_volumes():
            if volume.mode is Mode.READ_WRITE and overlaps(volume.source, self.experiments_datasets_root):
                yield f"OTHER_DIRS_TO_MOUNT: {volume.source} would make data sets writable"
        if self.add_home_dir_to_all_containers and USERNAME not in self.home_dir:
            yield "HOME_DIR must have $USERNAME in it: a home folder is one user's"
        if self.api_url_for_uid_and_gid and USERNAME not in self.api_url_for_uid_and_gid:
            yield "API_URL_FOR_UID_AND_GID must have $USERNAME in it"

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
