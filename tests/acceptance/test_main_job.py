"""The main job as a user sees it: from the request to a desktop, and back to nothing."""

import asyncio
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from tests.acceptance.conftest import ours
from tests.acceptance.system import Client, System, signed_in
from tests.images.rfb import SignInRefusedError, sign_in

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def guacamole_rows(made: System, name: str) -> dict[str, str]:
    """The parameters of a container's connection, with the account that may open it; empty when there is none."""
    query = """
        SELECT p.parameter_name, p.parameter_value FROM guacamole_connection c
        JOIN guacamole_connection_parameter p USING (connection_id) WHERE c.connection_name = %s
        UNION ALL
        SELECT 'entity', e.name FROM guacamole_connection c
        JOIN guacamole_connection_permission m ON m.connection_id = c.connection_id AND m.permission = 'READ'
        JOIN guacamole_entity e ON e.entity_id = m.entity_id JOIN guacamole_user u ON u.entity_id = e.entity_id
        WHERE c.connection_name = %s
    """
    with psycopg.connect(made.addresses()["guacamole_database_url"]) as connection:
        return dict(connection.execute(query, (name, name)).fetchall())


async def test_a_link(installation: System) -> None:
    async with signed_in(installation, "ada") as ada:
        status, container = await ada.run("abcde", "link")
        assert (status, container["host_port"], container["container_status"]) == (
            201,
            "https://example.org/",
            "created",
        )
        assert [row["id"] for row in await ada.list()] == [container["id"]]
        assert (await ada.stop(container))[1]["container_status"] == "stopped"
        status, removed = await ada.rm(container)
        assert (status, removed["container_status"]) == (200, "removed")
        assert removed["container_name"] == container["container_name"]
        assert await ada.list() == []


async def test_a_desktop_beside_the_data_of_a_session(installation: System, tmp_path: Path) -> None:
    async with signed_in(installation, "ada") as ada:
        status, container = await ada.run("P1~1", "desktop")
        assert status == 201, container
        assert container["container_status"] == "created"
        assert (container["calipso_experiment"], container["container_info"]) == ("1", "P1")
        rows = guacamole_rows(installation, container["container_name"])
        assert rows["entity"] == container["guacamole_username"]
        with sign_in(rows["hostname"], int(rows["port"]), rows["password"]) as viewer:
            picture = viewer.picture()
        (tmp_path / "desktop.png").write_bytes(picture.png())
        assert len(picture.colours()) > 3
        with pytest.raises(SignInRefusedError), sign_in(rows["hostname"], int(rows["port"]), "nonsense"):
            pass
        inside = ours(installation)[0]
        assert inside.attrs["Config"]["User"] == "5001:5002"
        assert inside.exec_run("touch " + str(installation.folder / "results" / "p1" / "mine")).exit_code == 0
        assert inside.exec_run("touch " + str(installation.folder / "datasets" / "p1" / "mine")).exit_code != 0
        written = installation.folder / "results" / "p1" / "mine"
        assert (written.stat().st_uid, written.stat().st_gid) == (5001, 5002)
        assert rows["password"] not in str(inside.attrs)
        await ada.stop(container)
        assert guacamole_rows(installation, container["container_name"]) == {}
        assert (await ada.rm(container))[0] == 200
        assert ours(installation) == []
        await ada.until_used(0)


async def test_the_list_shows_busy_under_the_final_name_while_run_is_held(installation: System) -> None:
    async with signed_in(installation, "ada") as ada:
        run = asyncio.create_task(ada.run("abcde", "slow"))
        while not (rows := await ada.list()):
            assert not run.done()
        assert (rows[0]["container_status"], rows[0]["host_port"]) == ("busy", "0")
        status, container = await run
        assert status == 201
        assert container["container_name"] == rows[0]["container_name"]
        await ada.rm(container)


async def test_a_busy_container_can_be_stopped(installation: System) -> None:
    async with signed_in(installation, "ada") as ada:
        run = asyncio.create_task(ada.run("abcde", "silent"))
        while not (rows := await ada.list()):
            assert not run.done()
        status, stopped = await ada.stop(rows[0])
        assert (status, stopped["container_status"]) == (200, "stopped")
        assert (await run)[0] == 409
        assert (await ada.rm(rows[0]))[0] == 200
        assert ours(installation) == []


async def test_a_token_in_the_log_becomes_the_address(installation: System) -> None:
    async with signed_in(installation, "ada") as ada:
        status, container = await ada.run("abcde", "token")
        assert status == 201, container
        assert container["host_port"].startswith("http://127.0.0.1:")
        assert "/?token=" in container["host_port"]
        await ada.rm(container)


@pytest.mark.parametrize(
    ("image", "status", "word"),
    [
        ("crash", 502, "exit code 3"),
        ("absent", 502, "absent"),
        ("away", 503, "unreachable"),
        ("no such image", 404, "no such image"),
    ],
)
async def test_what_cannot_start_says_why_and_leaves_nothing(
    installation: System, image: str, status: int, word: str
) -> None:
    async with signed_in(installation, "ada") as ada:
        answer = await ada.run("abcde", image)
        assert answer[0] == status, answer
        assert word in answer[1]["error"]
        assert await ada.list() == []
        await ada.until_used(0)
        assert ours(installation) == []


@pytest.mark.parametrize(
    ("experiment", "status"), [("P1~9", 404), ("P9~1", 404), ("P1~1", 403)], ids=["session", "experiment", "member"]
)
async def test_a_session_must_exist_and_be_ones_own(installation: System, experiment: str, status: int) -> None:
    async with signed_in(installation, "bob") as bob:
        assert (await bob.run(experiment, "link"))[0] == status


async def test_other_peoples_containers_are_out_of_reach(installation: System) -> None:
    async with signed_in(installation, "ada") as ada, signed_in(installation, "bob") as bob:
        status, container = await ada.run("abcde", "tiny-vnc")
        assert status == 201
        assert container["guacamole_password"]
        assert (await bob.get(f"/resource/list/{ada.name}/"))[0] == 403
        assert (await bob.stop(container))[0] == 404
        assert (await bob.rm(container))[0] == 404
        assert (await bob.get(f"/containers/{container['id']}"))[0] == 404
        assert (await bob.get(f"/resource/stop/ada/{container['container_name']}/x/"))[0] == 403
        async with signed_in(installation, "root") as root:
            seen = (await root.get(f"/containers/{container['id']}"))[1]
            assert (seen["guacamole_username"], seen["guacamole_password"]) == ("", "")
            assert (await root.get(f"/resource/rm/ada/{container['container_name']}/x/"))[0] == 200
        assert await ada.list() == []


async def test_forty_at_once_under_a_limit_of_five(installation: System) -> None:
    async with signed_in(installation, "bob") as bob:
        answers = await asyncio.gather(*(bob.run(f"own{n:02}", "link") for n in range(40)))
        assert Counter(status for status, _ in answers) == {201: 5, 409: 35}
        assert {answer["error"] for status, answer in answers if status == 409} == {"Max machines exceeded"}
        await bob.until_used(5)
        await bob.clear()
        await bob.until_used(0)


async def test_the_same_session_twice_at_once_gives_one(installation: System) -> None:
    async with signed_in(installation, "ada") as ada:
        answers = await asyncio.gather(ada.run("P1~2", "tiny"), ada.run("P1~2", "tiny"))
        assert sorted(status for status, _ in answers) == [201, 409]
        refused = next(answer for status, answer in answers if status == 409)
        assert refused["error"] == "Resource already launched"
        await ada.clear()
        assert ours(installation) == []


async def test_eight_containers_on_two_targets_of_one_engine(installation: System) -> None:
    installation.command(
        "quotas", "set", "ada", "--max-simultaneous", "8", "--cpu", "10", "--memory", "30G", "--hdd", "80G"
    )
    async with signed_in(installation, "ada") as ada:
        answers = await asyncio.gather(*(ada.run(f"own{n}", "tiny") for n in range(8)))
        assert [status for status, _ in answers] == [201] * 8
        assert len(ours(installation)) == 8
        targets = Counter(container.labels["calipso.target"] for container in ours(installation))
        assert set(targets) <= {"docker-a", "docker-b"}
        await ada.clear()
        assert ours(installation) == []


async def stop_then_rm_at_once(ada: Client, container: dict[str, str]) -> None:
    await ada.stop(container)
    assert (await ada.rm(container))[0] == 200
    assert await ada.list() == []


async def test_a_stubborn_container_is_stopped_by_force(installation: System) -> None:
    async with signed_in(installation, "ada") as ada:
        status, container = await ada.run("abcde", "stubborn")
        assert status == 201, container
        await stop_then_rm_at_once(ada, container)
        assert ours(installation) == []


async def test_repeating_an_end_is_harmless(installation: System) -> None:
    async with signed_in(installation, "ada") as ada:
        _, container = await ada.run("abcde", "tiny")
        for status in ("stopped", "stopped"):
            assert (await ada.stop(container))[1]["container_status"] == status
        for status in ("removed", "removed"):
            assert (await ada.rm(container))[1]["container_status"] == status
        assert (await ada.stop(container))[1]["container_status"] == "removed"


async def test_explain_tells_all_of_a_container(installation: System) -> None:
    async with signed_in(installation, "ada") as ada:
        _, container = await ada.run("abcde", "tiny-vnc")
        told = await asyncio.to_thread(installation.command, "explain", container["container_name"])
        for word in ("ContainerRequested", "ContainerStarting", "ContainerStarted", "running", "guacamole", "deadline"):
            assert word in told
        assert container["guacamole_password"] not in told
        await ada.rm(container)
