"""`calipso settings`: what is in effect, and nothing secret."""

import json
from pathlib import Path

import pytest
from tests.cli.conftest import run

from calipso.settings import Settings

HIDDEN = "********"

pytestmark = pytest.mark.unit


def shown(environment: dict[str, str], *options: str) -> list[str]:
    ended = run(environment, "settings", *options)
    assert (ended.status, ended.err) == (0, "")
    return ended.out.splitlines()


def test_every_setting_in_the_order_of_its_definition() -> None:
    lines = shown({"CALIPSO_PORT": "9000", "CALIPSO_GROUPS_DOCKER_ADD": "7, 8", "CALIPSO_DEBUG": "1"})
    assert [line.partition("=")[0] for line in lines] == [f"CALIPSO_{name.upper()}" for name in Settings.model_fields]
    assert {"CALIPSO_PORT=9000", "CALIPSO_GROUPS_DOCKER_ADD=7,8", "CALIPSO_DEBUG=true", "CALIPSO_RUN_LIMIT=240"} < set(
        lines
    )
    assert {"CALIPSO_TLS_KEY=", "CALIPSO_MASTER_KEYS=", "CALIPSO_ALLOWED_HOSTS="} < set(lines)


def test_as_json() -> None:
    found = json.loads("\n".join(shown({"CALIPSO_PORT": "9000", "CALIPSO_GROUPS_DOCKER_ADD": "7"}, "--json")))
    assert list(found) == [f"CALIPSO_{name.upper()}" for name in Settings.model_fields]
    assert (found["CALIPSO_PORT"], found["CALIPSO_GROUPS_DOCKER_ADD"], found["CALIPSO_TLS_KEY"]) == (9000, [7], None)


def test_what_differs_and_where_it_stands(tmp_path: Path) -> None:
    file, keys = tmp_path / "settings.toml", tmp_path / "keys"
    file.write_text('run_limit = 60.5\nport = 1\nfacility = "calipso"\n')
    keys.write_text("1:abc")
    environment = {
        "CALIPSO_SETTINGS_FILE": str(file),
        "CALIPSO_MASTER_KEYS_FILE": str(keys),
        "calipso_port": "9000",
        "CALIPSO_HOST": "127.0.0.1",
    }
    assert shown(environment, "--changed") == [
        f"CALIPSO_MASTER_KEYS={HIDDEN}  # {keys}",
        "CALIPSO_PORT=9000  # environment",
        f"CALIPSO_RUN_LIMIT=60.5  # {file}",
    ]
    assert json.loads("\n".join(shown(environment, "--changed", "--json")))["CALIPSO_PORT"] == {
        "value": 9000,
        "from": "environment",
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MASTER_KEYS", "1:hush", HIDDEN),
        ("ICAT_PASSWORD", "hush", HIDDEN),
        ("DATABASE_URL", "postgresql://calipso@db/calipso", "postgresql://calipso@db/calipso"),
        ("DATABASE_URL", "postgresql://calipso:hush@db/calipso", f"postgresql://calipso:{HIDDEN}@db/calipso"),
        ("DATABASE_URL", "postgresql://u:hu/s@h:u#sh@db/c", f"postgresql://u:{HIDDEN}@db/c"),
        (
            "DATABASE_URL",
            "postgresql:///c?user=u&password=hush&port=1",
            f"postgresql:///c?user=u&password={HIDDEN}&port=1",
        ),
        ("DATABASE_URL", "host=db password=hush user=u", f"host=db password={HIDDEN} user=u"),
        ("DATABASE_URL", "host=db password = 'hu \\' sh' user=u", f"host=db password = {HIDDEN} user=u"),
        ("DATABASE_URL", r"host=db password=hu\ sh user=u", f"host=db password={HIDDEN} user=u"),
        ("GUACAMOLE_DATABASE_URL", "MYSQL://u:hush@db/g", f"MYSQL://u:{HIDDEN}@db/g"),
        ("NATS_URL", "nats://hush@a:4222", f"nats://{HIDDEN}@a:4222"),
        ("NATS_URL", "nats://u:hush@a,tls://u:hush@b", f"nats://u:{HIDDEN}@a,tls://u:{HIDDEN}@b"),
        ("BACKEND_UO_LOGIN", "https://u:hush@uo.example/x", f"https://u:{HIDDEN}@uo.example/x"),
        ("BACKEND_UO_LOGIN", "https://uo.example/x?token=hush", f"https://uo.example/x?token={HIDDEN}"),
    ],
)
def test_nothing_secret_is_shown(name: str, value: str, expected: str) -> None:
    environment = {f"CALIPSO_{name}": value}
    assert f"CALIPSO_{name}={expected}" in shown(environment)
    assert json.loads("\n".join(shown(environment, "--json")))[f"CALIPSO_{name}"] == expected


def test_nothing_secret_is_shown_of_targets() -> None:
    targets = '[{"name": "a", "runtime": "docker_container", "address": "tcp://u:hush@engine:2376"}]'
    assert not any("hush" in line for line in shown({"CALIPSO_TARGETS": targets}))


def test_all_faults_are_named_at_once() -> None:
    ended = run({"CALIPSO_PORT": "many", "CALIPSO_RUN_LIMIT": "-1", "CALIPSO_ICAT_PASSWORD": "hush"}, "settings")
    assert (ended.status, ended.out) == (78, "")
    assert ended.err.startswith("error: settings: CALIPSO_PORT: ")
    assert "CALIPSO_RUN_LIMIT: " in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_file_that_is_not_there() -> None:
    ended = run({"CALIPSO_MASTER_KEYS_FILE": "/nowhere/keys"}, "settings")
    assert (ended.status, ended.out) == (78, "")
    assert "CALIPSO_MASTER_KEYS_FILE" in ended.err
