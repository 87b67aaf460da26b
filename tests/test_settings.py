"""Settings: where they come from, what is refused, and that each is documented."""

import json
from pathlib import Path

import pytest

from calipso import settings
from calipso.errors import Invalid
from calipso.events.values import Runtime

DOCUMENT = (Path(__file__).parent.parent / "docs" / "settings.md").read_text()


@pytest.mark.parametrize("name", sorted(settings.Settings.model_fields))
def test_every_setting_is_documented(name: str) -> None:
    assert f"| `CALIPSO_{name.upper()}` |" in DOCUMENT
    assert str(settings.Settings.model_fields[name].description) in DOCUMENT


@pytest.mark.parametrize("name", sorted(settings.TargetSettings.model_fields))
def test_every_key_of_a_target_is_documented(name: str) -> None:
    assert f"| `{name}` |" in DOCUMENT


def test_the_default_serves_links_and_the_local_engine() -> None:
    found = {target.name: target for target in settings.load().effective_targets()}
    assert found["links"].runtime is Runtime.STATIC_LINK
    assert found["docker"].address == "unix:///var/run/docker.sock"


def test_all_faults_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALIPSO_PORT", "many")
    monkeypatch.setenv("CALIPSO_RUN_LIMIT", "-1")
    monkeypatch.setenv("CALIPSO_FACILITY", "no dots. no spaces")
    monkeypatch.setenv("CALIPSO_MAX_RAM_PER_USER", "lots")
    with pytest.raises(Invalid) as caught:
        settings.load()
    assert all(name in str(caught.value) for name in ("PORT", "RUN_LIMIT", "FACILITY", "MAX_RAM_PER_USER"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_RAM_PER_USER", "lots"),
        ("MAX_CPU_PER_USER", "-1"),
        ("EXPERIMENTS_OUTPUT", "results"),
        ("TARGETS", '[{"name": "a", "runtime": "static_link"}, {"name": "a", "runtime": "static_link"}]'),
        ("TARGETS", '[{"name": "a", "runtime": "static_link", "adress": "x"}]'),
        ("TARGETS", "[{"),
        ("TARGETS", '[{"name": "c", "runtime": "kubernetes"}]'),
        ("TARGETS", '[{"name": "c", "runtime": "kubernetes", "address": "in-cluster", "networks": "everywhere"}]'),
        ("DEFAULT_UID", "0"),
        ("BASE_PATH", "/a//b/"),
        ("BASE_PATH", "/../b/"),
        ("BASE_PATH", "/a?b/"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "proxy.example.org"),
        ("BACKEND_UO_LOGIN", "javascript:alert(1)"),
        ("OTHER_DIRS_TO_MOUNT", "/opt/a:/a"),
        ("OTHER_DIRS_TO_MOUNT", "/opt/../a:/a:ro"),
        ("OTHER_DIRS_TO_MOUNT", "opt:/a:ro"),
        ("OIDC_RP_SIGN_ALGO", "none"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"CALIPSO_{name}", value)
    with pytest.raises(Invalid, match=r"(?i)" + name):
        settings.load()


def test_a_secret_comes_from_a_file_and_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("1:c2VjcmV0\n")
    monkeypatch.setenv("CALIPSO_MASTER_KEYS_FILE", str(file))
    found = settings.load()
    assert found.master_keys.get_secret_value() == "1:c2VjcmV0"
    assert "c2VjcmV0" not in repr(found)


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CALIPSO_MASTER_KEYS_FILE", str(tmp_path / "absent"))
    with pytest.raises(Invalid, match="CALIPSO_MASTER_KEYS_FILE"):
        settings.load()


def test_the_environment_wins_over_the_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "calipso.toml"
    file.write_text(
        'port = 9001\nfacility = "esrf"\ngroups_docker_add = [5]\n\n[[targets]]\nname = "l"\nruntime = "static_link"\n'
    )
    monkeypatch.setenv("CALIPSO_SETTINGS_FILE", str(file))
    monkeypatch.setenv("CALIPSO_PORT", "9002")
    found = settings.load()
    assert (found.port, found.facility, found.groups_docker_add) == (9002, "esrf", (5,))
    assert [target.name for target in found.effective_targets()] == ["l"]


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALIPSO_GROUPS_DOCKER_ADD", "5, 6")
    monkeypatch.setenv("CALIPSO_CORS_ORIGIN_WHITELIST", "portal.example.org,https://b.example.org")
    found = settings.load()
    assert found.policy(1).groups == (100, 5, 6)
    assert found.cors_origin_whitelist == ("portal.example.org", "https://b.example.org")


def test_targets_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALIPSO_TARGETS", json.dumps([{"name": "a", "runtime": "docker_container", "capacity": 3}]))
    found = settings.load()
    assert found.effective_targets()[0].capacity == 3
    assert found.policy(1).targets[Runtime.DOCKER] == ("a",)


def test_faults_of_several_settings_together_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "OIDC_ENABLED": "true",
        "TLS_CERTIFICATE": "/a.pem",
        "DYNAMIC_EXPERIMENTS_DATA_RETRIEVAL": "1",
        "OTHER_DIRS_TO_MOUNT": "/tmp/data/x:/x:rw",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"CALIPSO_{name}", value)
    with pytest.raises(Invalid) as caught:
        settings.load()
    named = ("OIDC_RP_CLIENT_ID", "OIDC_OP_ISSUER", "TLS_KEY", "$USERNAME", "OTHER_DIRS_TO_MOUNT")
    assert all(name in str(caught.value) for name in named)


@pytest.mark.parametrize(("given", "expected"), [("", "/"), ("/", "/"), ("a", "/a/"), ("/a/b", "/a/b/"), ("a/", "/a/")])
def test_the_base_path_begins_and_ends_with_a_slash(given: str, expected: str) -> None:
    assert settings.load(base_path=given).base_path == expected


def test_other_folders_become_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALIPSO_OTHER_DIRS_TO_MOUNT", "/opt/a:/a:ro, /scratch:/scratch:rw")
    monkeypatch.setenv("CALIPSO_ADD_HOME_DIR_TO_ALL_CONTAINERS", "true")
    policy = settings.load().policy(1)
    assert [(v.source, v.bind, v.mode) for v in policy.other_volumes] == [
        ("/opt/a", "/a", "ro"),
        ("/scratch", "/scratch", "rw"),
    ]
    assert policy.home == "/home/$USERNAME"


def test_no_link_of_a_volume_leads_out_of_these(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALIPSO_EXPERIMENTS_OUTPUT", "/srv/results")
    monkeypatch.setenv("CALIPSO_HOME_DIR", "/srv/homes/$USERNAME/desktop")
    assert settings.load().volume_roots() == ("/tmp/data", "/srv/results")
    monkeypatch.setenv("CALIPSO_ADD_HOME_DIR_TO_ALL_CONTAINERS", "true")
    assert settings.load().volume_roots() == ("/tmp/data", "/srv/results", "/srv/homes")


def test_a_cluster_takes_what_holds_for_all_clusters_where_it_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    common = {"runtime": "kubernetes", "address": "in-cluster", "networks": ["10.1.0.0/24"]}
    own = {"name": "b", "namespace": "desktops", "public_host": "10.1.0.7"}
    monkeypatch.setenv("CALIPSO_TARGETS", json.dumps([{"name": "a"} | common, own | common]))
    monkeypatch.setenv("CALIPSO_DEFAULT_KUBE_NAMESPACE", "users")
    monkeypatch.setenv("CALIPSO_REMOTE_PODS_MACHINE_IP", "kube.example.org")
    found = {target.name: target for target in settings.load().effective_targets()}
    assert (found["a"].namespace, found["a"].public_host) == ("users", "kube.example.org")
    assert (found["b"].namespace, found["b"].public_host) == ("desktops", "10.1.0.7")


def test_what_machines_reach_is_said_by_their_network(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = {"name": "m", "runtime": "virtual_machine", "address": "qemu:///system", "egress": False}
    monkeypatch.setenv("CALIPSO_TARGETS", json.dumps([machine]))
    with pytest.raises(Invalid, match="libvirt network"):
        settings.load()


def test_a_certificate_for_nats_comes_with_its_key_and_authority() -> None:
    with pytest.raises(Invalid, match=r"NATS_TLS_CERT and NATS_TLS_KEY.*NATS_TLS_CA"):
        settings.load(nats_tls_cert="/x.pem")
