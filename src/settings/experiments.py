"""Where experiments come from, beside the command line."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from calipso.settings.kinds import Url


class ExperimentSettings(BaseSettings):
    """The providers of experiments, sessions and memberships, and the pages of lists."""

    page_size_experiments: Annotated[int, Field(ge=1, le=1000, description="experiments on a page")] = 7
    page_size_users: Annotated[int, Field(ge=1, le=1000, description="users on a page")] = 20
    dynamic_experiments_data_retrieval: Annotated[
        bool, Field(description="whether experiments are asked for at the endpoint below")
    ] = False
    dynamic_experiments_data_retrieval_endpoint: Annotated[
        Url, Field(description="where a user's experiments are; $USERNAME in it stands for the user name")
    ] = ""
    enable_icat_data_retrieval: Annotated[bool, Field(description="whether experiments are asked for at ICAT")] = False
    icat_data_retrieval_endpoint: Annotated[Url, Field(description="the address of ICAT's REST interface")] = ""
    icat_openid_connect: Annotated[
        bool, Field(description="sign in to ICAT with the user's OpenID token, not with the account below")
    ] = False
    icat_plugin: Annotated[str, Field(description="ICAT's authentication plugin of our account")] = ""
    icat_username: Annotated[str, Field(description="our account at ICAT")] = ""
    icat_password: Annotated[SecretStr, Field(description="its password")] = SecretStr("")

    def experiment_faults(self) -> Iterator[str]:
        """What is wrong with these settings together."""
        endpoint = self.dynamic_experiments_data_retrieval_endpoint
        if self.dynamic_experiments_data_retrieval and self.enable_icat_data_retrieval:
            yield "DYNAMIC_EXPERIMENTS_DATA_RETRIEVAL and ENABLE_ICAT_DATA_RETRIEVAL exclude each other"
        if self.dynamic_experiments_data_retrieval and "$USERNAME" not in endpoint:
            yield (
                "DYNAMIC_EXPERIMENTS_DATA_RETRIEVAL needs DYNAMIC_EXPERIMENTS_DATA_RETRIEVAL_ENDPOINT with $USERNAME "
                "in it"
            )
        if self.enable_icat_data_retrieval and not self.icat_data_retrieval_endpoint:
            yield "ENABLE_ICAT_DATA_RETRIEVAL needs ICAT_DATA_RETRIEVAL_ENDPOINT"
