"""Who reaches whom: containers on a real engine, each other, the host of the engine, and the world."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from docker import APIClient
from tests.conftest import PATIENCE
from tests.runtimes.binding import usable
from tests.runtimes.docker_binding import DockerBinding
from tests.runtimes.orders import order, wait_until

from calipso.errors import Unavailable
from calipso.events.values import FailureReason, Protocol, Runtime
from calipso.runtimes.docker import DockerRuntime, guard
from calipso.runtimes.docker.network import network_name
from calipso.runtimes.docker.order import Labels
from calipso.runtimes.protocol import Observation, Order, RuntimeFailed, Target

pytestmark = pytest.mark.docker

_LISTENER = "import socket, sys; s = socket.create_server((sys.argv[1], 8000))\nwhile True: s.accept()[0].close()"
FIREWALL = Path(__file__).parents[2] / "ops" / "docker" / "firewall"


def target(binding: DockerBinding, *, egress: bool = True) -> Target:
    return Target(name="here", runtime=Runtime.DOCKER, address=binding.address, egress=egress)


def network_of(binding: DockerBinding, *, egress: bool = True) -> str:
    labels = Labels(installation=binding.installation, facility="test", target="here")
    return network_name(labels, egress=egress)


def address_of(binding: DockerBinding, name: str) -> str:
    networks = binding.inspect(name)["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["IPAddress"])


def reaches(binding: DockerBinding, name: str, host: str, port: int) -> bool:
    """Whether a program in a container can connect."""
    made = binding.engine.exec_create(name, ["sh", "-c", f"nc -w 1 {host} {port} </dev/null"])["Id"]
    binding.engine.exec_start(made)
    return bool(binding.engine.exec_inspect(made)["ExitCode"] == 0)


@contextmanager
def listener(host: str) -> Iterator[int]:
    """Something that greets whoever connects; gives its port."""

    def greet() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with closing(connection):
                connection.sendall(b"hello\n")

    with socket.create_server((host, 0)) as server:
        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(params=[True, False], ids=["open", "closed"])
def egress(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def two(binding: DockerBinding, *, egress: bool) -> tuple[tuple[Order, Order], tuple[Observation, Observation]]:
    runtime = binding.made(target(binding, egress=egress))
    first, second = order(binding.image("tiny")), order(binding.image("vnc", Protocol.VNC))
    return (first, second), (_seen(runtime, first), _seen(runtime, second))


def _seen(runtime: DockerRuntime, wanted: Order) -> Observation:
    usable(runtime, wanted)
    seen = runtime.observe(wanted.request.container_id)
    assert seen is not None
    return seen


def test_containers_do_not_reach_each_other_and_are_reached_by_us(binding: DockerBinding, egress: bool) -> None:
    orders, seen = two(binding, egress=egress)
    assert [entry.port > 0 for entry in seen] == [True, True]
    for entry in seen:
        socket.create_connection((entry.host, entry.port), timeout=PATIENCE).close()
    listed = binding.made(target(binding, egress=egress)).list()
    assert {(o.host, o.port) for o in listed.values()} == {(entry.host, entry.port) for entry in seen}
    assert not reaches(binding, orders[0].name, address_of(binding, orders[1].name), 5901)
    assert not reaches(binding, orders[1].name, address_of(binding, orders[0].name), 8888)


@pytest.fixture
def world() -> Iterator[tuple[str, int]]:
    """An address and port of another machine: a namespace of the kernel behind this one."""
    name, ours, theirs = f"w{uuid4().hex[:8]}", "198.51.100.1", "198.51.100.2"
    for command in (
        f"ip netns add {name}",
        f"ip link add {name} type veth peer name eth0 netns {name}",
        f"ip address add {ours}/30 dev {name}",
        f"ip link set {name} up",
        f"ip -n {name} address add {theirs}/30 dev eth0",
        f"ip -n {name} link set eth0 up",
        f"ip -n {name} route add default via {ours}",
    ):
        subprocess.run(command.split(), check=True)
    server = subprocess.Popen(
        ["ip", "netns", "exec", name, sys.executable, "-c", _LISTENER, theirs],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _answers(theirs, 8000))
        yield theirs, 8000
    finally:
        server.kill()
        server.wait()
        subprocess.run(["ip", "netns", "delete", name], check=True)


def _answers(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def test_the_world_is_reached_where_the_target_says_so(
    binding: DockerBinding, world: tuple[str, int], egress: bool
) -> None:
    runtime, wanted = binding.made(target(binding, egress=egress)), order(binding.image("tiny"))
    usable(runtime, wanted)
    assert reaches(binding, wanted.name, *world) is egress


@pytest.fixture
def stranger(engine: APIClient) -> Iterator[tuple[str, str]]:
    """A container that is none of ours, in a network of its own; gives its name and the address of the host there."""
    name = f"stranger-{uuid4().hex[:8]}"
    engine.create_network(name)
    host_config = engine.create_host_config(network_mode=name)
    engine.start(engine.create_container("calipso/tiny:1", name=name, host_config=host_config)["Id"])
    try:
        yield name, str(engine.inspect_network(name)["IPAM"]["Config"][0]["Gateway"])
    finally:
        engine.remove_container(name, force=True, v=True)
        engine.remove_network(name)


def test_the_services_of_the_host_are_not_reached(
    binding: DockerBinding, engine: APIClient, stranger: tuple[str, str], egress: bool
) -> None:
    orders, seen = two(binding, egress=egress)
    gateway = str(engine.inspect_network(network_of(binding, egress=egress))["IPAM"]["Config"][0]["Gateway"])
    with listener("0.0.0.0") as port:  # noqa: S104 - what the rule is for
        assert not reaches(binding, orders[0].name, gateway, port)
        # what an engine alone lets pass
        assert reaches(binding, stranger[0], stranger[1], port)
    socket.create_connection((seen[0].host, seen[0].port), timeout=PATIENCE).close()


def test_the_rule_is_that_of_the_firewall_and_comes_back(binding: DockerBinding) -> None:
    binding.made(target(binding)).ping()
    firewall("status")
    firewall("down")
    with pytest.raises(subprocess.CalledProcessError):
        firewall("status")
    # what starts anew looks at once
    usable(binding.made(target(binding)), order(binding.image("tiny")))
    firewall("status")
    firewall("up")  # harmless to repeat


def firewall(*words: str) -> None:
    subprocess.run([FIREWALL, *words], check=True, capture_output=True)


def guards(binding: DockerBinding) -> set[str]:
    """The containers that guard the host of the engine, whoever started them."""
    return {found["Id"] for found in binding.engine.containers(all=True, filters={"label": "calipso.guard"})}


def test_nothing_starts_where_the_host_cannot_be_guarded(
    binding: DockerBinding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "_SCRIPT", "echo 'iptables: not found'; exit 1")  # as on a host without it
    runtime, wanted = binding.made(target(binding)), order(binding.image("tiny"))
    before = guards(binding)
    with pytest.raises(RuntimeFailed, match=r"iptables: not found.*ops/docker/firewall.*guards_host") as caught:
        runtime.start(wanted)
    assert caught.value.reason is FailureReason.REJECTED
    with pytest.raises(Unavailable, match="would reach the services"):
        runtime.ping()
    assert runtime.list() == {}
    assert guards(binding) <= before
    # where somebody else sees to it
    usable(binding.made(replace(target(binding), guards_host=False)), wanted)


def test_containers_of_another_target_are_not_reached(binding: DockerBinding, egress: bool) -> None:
    here, there = (order(binding.image("tiny")) for _ in range(2))
    usable(binding.made(target(binding, egress=egress)), here)
    usable(binding.made(replace(target(binding, egress=egress), name="there")), there)
    assert not reaches(binding, here.name, address_of(binding, there.name), 8888)


def test_a_network_that_was_pruned_is_made_again(binding: DockerBinding, engine: APIClient) -> None:
    runtime = binding.made(target(binding))
    first, second = order(binding.image("tiny")), order(binding.image("tiny"))
    usable(runtime, first)
    runtime.remove(first.request.container_id)
    with runtime._engine.client() as client:
        runtime._create(client, second)
    engine.remove_network(network_of(binding))
    usable(runtime, second)
    assert engine.inspect_network(network_of(binding))["Labels"]["calipso.target"] == "here"


def test_a_strangers_network_of_that_name_is_not_used(binding: DockerBinding, engine: APIClient) -> None:
    made = engine.create_network(network_of(binding), labels={"calipso.test.stranger": binding.installation})["Id"]
    try:
        with pytest.raises(RuntimeFailed, match="is not as it was made"):
            binding.made(target(binding)).start(order(binding.image("tiny")))
    finally:
        engine.remove_network(made)


def test_targets_and_kinds_have_networks_of_their_own() -> None:
    labels = Labels(installation="one", facility="test", target="here")
    names = {
        network_name(each, egress=egress)
        for each in (labels, replace(labels, target="there"), replace(labels, installation="two"))
        for egress in (True, False)
    }
    assert len(names) == 6
    assert all(len(name) == 15 and name.startswith("calipso") for name in names)


@pytest.fixture
def binding(docker_binding: DockerBinding) -> DockerBinding:
    return docker_binding
