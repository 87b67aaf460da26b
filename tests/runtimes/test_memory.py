"""The runtime in memory keeps the contract, so that it may stand for the others in tests."""

from collections.abc import Iterator

import pytest
from tests.runtimes.binding import Reality
from tests.runtimes.contract import RuntimeContract
from tests.runtimes.optional_contract import ForceContract, ServiceContract
from tests.runtimes.orders import image, order
from tests.runtimes.reconciling_contract import ReconcilingContract

from calipso.events.values import FailureReason, ImageSpec, Mode, Protocol, Runtime
from calipso.runtimes.memory import MemoryRuntime, MemoryWorld
from calipso.runtimes.names import lawful_name
from calipso.runtimes.protocol import RuntimeFailed, Target

_SWITCHES = {
    "slow": "delay=0.6",
    "crash": "crash=3",
    "crashlater": "crash_after=0.5&exit=7",
    "exit0later": "crash_after=0.5&exit=0",
    "token": "token=0a1b2c3d4e5f",
    "silent": "silent",
    "stubborn": "stubborn",
}


class MemoryBinding:
    slack = 0.0

    def __init__(self) -> None:
        self.world = MemoryWorld()

    def runtime(self, target: str = "here", installation: str = "ours") -> MemoryRuntime:
        return MemoryRuntime(self.world, Target(name=target, runtime=Runtime.DOCKER), installation)

    def away(self) -> MemoryRuntime:
        self.world.away.add("nowhere")
        return self.runtime("nowhere")

    def image(self, name: str, protocol: Protocol = Protocol.HTTP, *, logs_er: str = "") -> ImageSpec:
        reference = "nothing/missing" if name == "missing" else f"memory/{name}?{_SWITCHES.get(name, '')}"
        return image(reference, protocol, logs_er=logs_er)

    def kill(self, name: str) -> None:
        self.world.crash(name)

    def lose(self, name: str) -> None:
        self.world.lose(name)

    def occupy(self, name: str) -> None:
        self.world.strangers.add(name)

    def is_occupied(self, name: str) -> bool:
        return name in self.world.strangers

    def reality(self, name: str) -> Reality:
        kept = self.world.kept[name]
        request = kept.order.request
        return Reality(
            identity=request.identity,
            account=lawful_name(request.account),
            resources=request.resources,
            workdir=request.workdir,
            secret=kept.order.secret,
            secret_reader=request.identity.uid,
            told="\n".join(kept.process.log),
        )

    def can_write(self, name: str, folder: str) -> bool:
        volumes = {volume.bind: volume.mode for volume in self.world.kept[name].order.request.volumes}
        return volumes[folder] is Mode.READ_WRITE


@pytest.fixture
def binding() -> Iterator[MemoryBinding]:
    made = MemoryBinding()
    yield made
    made.world.close()


class TestReconciledMemory(ReconcilingContract):
    """What the reconciler does."""


class TestMemory(RuntimeContract, ForceContract, ServiceContract):
    def test_a_target_can_refuse(self, binding: MemoryBinding) -> None:
        binding.world.refusal = "no more of this"
        with pytest.raises(RuntimeFailed) as caught:
            binding.runtime().start(order(binding.image("tiny")))
        assert (caught.value.reason, caught.value.detail) == (FailureReason.REJECTED, "no more of this")
