"""`calipso experiments synchronize`, beside an API of the same installation."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
from tests.api.conftest import Api
from tests.cli.conftest import Ended, run
from tests.providers.conftest import (
    PASSWORD,
    Server,
    User,
    asking_api,
    dynamic_settings,
    experiment,
    head_of,
    kinds_after,
    obey,
    running,
)
from tests.providers.test_changes import fresh, grant, state
from tests.providers.test_icat import icat_settings, know, visit

from calipso.backend import Backend

COMMAND = ("experiments", "synchronize")


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A served installation, and the settings of its command line."""

    api: Api
    settings: Mapping[str, object]

    def synchronize(self, *options: str, **changes: object) -> Ended:
        """Run the command."""
        known = self.api.backend.settings
        given = {
            "database_url": known.database_url,
            "nats_url": known.nats_url,
            "master_keys": known.master_keys.get_secret_value(),
            **self.settings,
            **changes,
        }
        return run({f"CALIPSO_{name.upper()}": str(value) for name, value in given.items()}, *COMMAND, *options)

    def user(self, provider: Server) -> User:
        """Somebody new."""
        made = User(api=self.api, name=self.api.add_user(), provider=provider)
        obey(self.api)
        return made


@pytest.fixture
def installation(provider: Server, make_backend: Callable[..., Backend]) -> Iterator[Installation]:
    """An installation of the test's own."""
    given = dynamic_settings(provider.url)
    with asking_api(make_backend, given) as api:
        yield Installation(api=api, settings=given)
    provider.trouble("")


def test_all_experiments_of_a_user(installation: Installation, provider: Server) -> None:
    user, numbers = installation.user(provider), sorted(fresh() for _ in range(120))
    user.given(*map(experiment, numbers))
    granted = fresh()
    grant(user, granted)
    ended = installation.synchronize("--userlogin", user.name)
    assert (ended.status, ended.out) == (0, "Successfully synchronized 1 users, 360 changes\n")
    obey(user.api)
    head = head_of(user.api)
    ended = installation.synchronize("--userlogin", user.name)
    assert (ended.status, ended.out) == (0, "Successfully synchronized 1 users, 0 changes\n")
    assert kinds_after(user.api, head) == []
    user.given(*map(experiment, numbers[:-20]))
    ended = installation.synchronize("--userlogin", user.name)
    assert (ended.status, ended.out) == (0, "Successfully synchronized 1 users, 20 changes\n")
    assert kinds_after(user.api, head) == ["MemberRemoved"] * 20
    assert user.user_id in state(user, granted).members


def test_what_is_given_twice_counts_once(installation: Installation, provider: Server) -> None:
    user, numbers = installation.user(provider), sorted(fresh() for _ in range(60))
    user.given(*(experiment(number) for number in numbers for _ in range(2)))
    ended = installation.synchronize("--userlogin", user.name)
    assert (ended.status, ended.out) == (0, "Successfully synchronized 1 users, 180 changes\n")


def test_a_list_that_changes_while_it_is_read_ends_nothing(installation: Installation, provider: Server) -> None:
    user, numbers = installation.user(provider), sorted(fresh() for _ in range(60))
    user.given(*map(experiment, numbers))
    assert installation.synchronize("--userlogin", user.name).status == 0
    obey(user.api)
    provider.trouble("moving")
    head = head_of(user.api)
    ended = installation.synchronize("--userlogin", user.name)
    assert (ended.status, ended.out) == (1, "")
    assert "it tells of 60 experiments, and gives 50" in ended.err
    assert kinds_after(user.api, head) == []


def test_all_users(installation: Installation, provider: Server) -> None:
    people = [installation.user(provider) for _ in range(3)]
    number = fresh()
    for user in people[:2]:
        user.given(experiment(number))
    ended = installation.synchronize("--all")
    assert (ended.status, ended.out, ended.err) == (0, "Successfully synchronized 3 users, 4 changes\n", "")
    assert state(people[0], number).provided == {user.user_id for user in people[:2]}


def test_one_user_of_whom_nothing_can_be_said_does_not_keep_the_others(
    installation: Installation, provider: Server
) -> None:
    people = [installation.user(provider) for _ in range(3)]
    people[0].given(experiment(fresh(), uid="five"))
    number = fresh()
    people[2].given(experiment(number))
    ended = installation.synchronize("--all")
    assert (ended.status, ended.out) == (1, "Successfully synchronized 2 users, 3 changes\n")
    assert f"error: {people[0].name}: the provider of experiments is not available: its uid 'five'" in ended.err


def test_a_provider_in_trouble_is_not_asked_for_everybody(installation: Installation, provider: Server) -> None:
    for _ in range(7):
        installation.user(provider)
    provider.trouble("error")
    head = head_of(installation.api)
    ended = installation.synchronize("--all")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.count("it answered 500") == 5
    assert ended.err.splitlines()[-1] == "error: the provider is not available: 5 users failed one after the other"
    assert kinds_after(installation.api, head) == []
    assert PASSWORD not in ended.err


def test_what_is_told_of_a_user(installation: Installation, provider: Server) -> None:
    ended = installation.synchronize("--userlogin", "nobody")
    assert (ended.status, ended.out) == (1, "")
    assert "error: nobody: user 'nobody' does not exist" in ended.err
    user = installation.user(provider)
    provider.trouble("html")
    ended = installation.synchronize("--userlogin", user.name)
    assert (ended.status, ended.out) == (1, "")
    assert "its answer cannot be understood" in ended.err


@pytest.mark.parametrize("options", [(), ("--userlogin", "ada", "--all"), ("--userlogin", "")])
def test_who_is_meant_must_be_told(installation: Installation, options: tuple[str, ...]) -> None:
    ended = installation.synchronize(*options)
    assert ended.status == 2
    assert "give either --userlogin or --all" in ended.err


def test_without_a_provider(installation: Installation) -> None:
    ended = installation.synchronize("--all", dynamic_experiments_data_retrieval=False)
    assert ended.status == 78
    assert "CALIPSO_DYNAMIC_EXPERIMENTS_DATA_RETRIEVAL" in ended.err


def test_icat_by_its_account(tmp_path_factory: pytest.TempPathFactory, make_backend: Callable[..., Backend]) -> None:
    with running("icat", tmp_path_factory.mktemp("icat"), {"tokens": {}, "investigations": []}) as icat:
        given = icat_settings(icat.url, icat_openid_connect=True)
        with asking_api(make_backend, given) as api:
            installation = Installation(api=api, settings=given)
            people = [installation.user(icat) for _ in range(2)]
            know(icat, *(visit(number, f"HC-{number}", f"db/{people[number % 2].name}") for number in range(6)))
            ended = installation.synchronize("--all")
            assert (ended.status, ended.out) == (0, "Successfully synchronized 2 users, 18 changes\n")
            # who takes part is asked once for all of them
            assert sorted(icat.asked()) == ["investigation"] * 2 + ["investigationusers"] * 6 + ["session"]
            ended = installation.synchronize("--all", icat_username="")
            assert ended.status == 78
            assert "CALIPSO_ICAT_USERNAME" in ended.err
            assert icat.asked() == []
