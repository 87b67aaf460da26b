"""Folders of users on a hypervisor that is reached by ssh, as libvirt reaches it, and by nothing like it."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.dead_folder import dead_folder
from tests.runtimes import libvirt_daemon, ssh_server
from tests.runtimes.orders import IDENTITY, order, volumes_of
from tests.runtimes.virtual_machine_binding import QemuBinding

from calipso.events.values import FailureReason, Identity
from calipso.runtimes.protocol import RuntimeFailed
from calipso.runtimes.virtual_machine.folders import make_folders_of, ssh_command

pytestmark = [
    pytest.mark.libvirt,
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: only root can become the account of a container"),
]

NOBODY = Identity(uid=65534, gid=65534)


def test_the_credentials_are_those_of_the_uri() -> None:
    address = "qemu+ssh://ro%20ot@hyper:2222/system?keyfile=/k&no_verify=1"
    assert ssh_command(address) == [
        *("ssh", "-T", "-e", "none", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "StrictHostKeyChecking=no"),
        *("-p", "2222", "-l", "ro ot", "-i", "/k", "--", "hyper"),
    ]
    command = ssh_command("qemu+libssh2://hyper/system?known_hosts=/h&known_hosts_verify=auto&command=/opt/ssh")
    assert command[0] == "/opt/ssh"
    assert command[-6:] == ["-o", "UserKnownHostsFile=/h", "-o", "StrictHostKeyChecking=accept-new", "--", "hyper"]
    for other in ("qemu+tls://hyper/system", "qemu+tcp://hyper/system", "qemu:///system", "qemu://hyper/system"):
        assert ssh_command(other) == []


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the URI of a libvirt behind a server of ssh on this machine begins with, and what it says of keys."""
    folder = tmp_path_factory.mktemp("sshd")
    with ssh_server.serving(folder) as port:
        yield f"qemu+ssh://root@127.0.0.1:{port}/{{}}?keyfile={folder}/own&known_hosts={folder}/known"


@pytest.fixture
def hypervisor(access: str) -> str:
    return access.format("system")


def refused(address: str, folder: Path, root: Path, why: str, seconds: float = 10) -> None:
    with pytest.raises(RuntimeFailed, match=why) as caught:
        make_folders_of(address, volumes_of(folder), IDENTITY, [str(root)], seconds=seconds)
    assert caught.value.reason is FailureReason.REJECTED


def test_missing_folders_are_made_there_for_the_account(hypervisor: str, open_root: Path) -> None:
    make_folders_of(hypervisor, volumes_of(open_root / "a b" / "c'$d"), IDENTITY, [str(open_root)])
    found = (open_root / "a b" / "c'$d").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (IDENTITY.uid, IDENTITY.gid, 0o750)


def test_a_link_that_leads_out_is_refused_there(hypervisor: str, open_root: Path) -> None:
    (open_root / "root").mkdir()
    (open_root / "root" / "out").symlink_to("/etc")
    refused(hypervisor, open_root / "root" / "out", open_root / "root", "out leads out of")


def test_a_folder_that_is_away_there_is_told_by_its_name(
    hypervisor: str, open_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calipso.runtimes.virtual_machine.folders._CONNECT_SECONDS", 1)
    (open_root / "dead").mkdir()
    with dead_folder(open_root / "dead"):
        refused(hypervisor, open_root / "dead", open_root, f"{open_root}/dead does not answer within 5 s", seconds=4)


def test_a_hypervisor_that_does_not_let_us_in_is_told(hypervisor: str, open_root: Path) -> None:
    refused(hypervisor.replace("/own&", "/host&"), open_root / "a", open_root, "Permission denied")
    # nobody else is taken for it
    refused(hypervisor.replace("/known", "/config"), open_root / "a", open_root, "Host key verification failed")
    assert not (open_root / "a").exists()


def test_where_nobody_can_look_nothing_is_mounted(open_root: Path) -> None:
    refused("qemu+tls://127.0.0.1/system", open_root / "a", open_root, r"reached by qemu\+tls: reach it by qemu\+ssh")
    # what the facility itself mounts is its own affair
    make_folders_of("qemu+tls://127.0.0.1/system", volumes_of(Path("/srv/common")), IDENTITY, [str(open_root)])


@pytest.mark.slow
def test_a_machine_is_made_through_ssh_with_its_folders(
    access: str, open_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="cvm-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        with libvirt_daemon.serving(Path(folder)) as near:
            # libvirt's own client of ssh looks here for known hosts
            monkeypatch.setenv("HOME", folder)
            (socket,) = parse_qs(urlsplit(near).query)["socket"]
            uri = f"{access.format('session')}&socket={socket}&no_verify=1"
            with closing(QemuBinding(uri, libvirt_daemon.POOL)) as binding:
                wanted = order(binding.image("vnc"), volumes=volumes_of(open_root / "a"))
                # the machine's own account must be able to enter the folder
                wanted = replace(wanted, request=replace(wanted.request, identity=NOBODY))
                binding.runtime(roots=(str(open_root),)).start(wanted)
                assert (open_root / "a").stat().st_uid == NOBODY.uid
                assert binding.can_write(wanted.name, "/data/0")
