"""What goes wrong with clusters, as it cannot be had of a real one at will: the double does it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from tests.runtimes.binding import Ear, exited, usable
from tests.runtimes.double_binding import DoubleBinding
from tests.runtimes.kubernetes_binding import MANIFESTS
from tests.runtimes.kubernetes_contract import things
from tests.runtimes.kubernetes_double import Double
from tests.runtimes.kubernetes_double.store import Clock
from tests.runtimes.orders import order, volumes_of, wait_until

from calipso.errors import Unavailable
from calipso.events.values import FailureReason, Protocol
from calipso.runtimes.kubernetes import KubernetesRuntime
from calipso.runtimes.looking import why_not_yet
from calipso.runtimes.protocol import Order, RuntimeFailed, Status

pytestmark = pytest.mark.slow

GRACE = timedelta(seconds=1)


@pytest.fixture
def binding(double_binding: DoubleBinding) -> DoubleBinding:
    return double_binding


@pytest.fixture
def double(binding: DoubleBinding) -> Iterator[Double]:
    yield binding.double
    assert binding.double.trouble.is_over(), "not everything came to be that was to go wrong"


@pytest.fixture
def runtime(binding: DoubleBinding) -> KubernetesRuntime:
    # one whose token the double can renew
    return binding.made(str(binding.kubeconfig), "here", f"ours-{binding.installation}")


@pytest.fixture
def desktop(binding: DoubleBinding) -> Order:
    return order(binding.image("vnc", Protocol.VNC))


@pytest.fixture
def ear(runtime: KubernetesRuntime, double: Double) -> Iterator[Ear]:
    made = Ear(runtime)
    wait_until(double.watches)
    yield made
    assert made.close() < 2


class TestRefusals:
    """What the cluster decides against."""

    @pytest.mark.parametrize("plural", ["networkpolicies", "secrets", "pods", "services"])
    def test_what_is_not_admitted_is_told_and_leaves_nothing(
        self, binding: DoubleBinding, double: Double, runtime: KubernetesRuntime, desktop: Order, plural: str
    ) -> None:
        why = 'admission webhook "policy.example.org" denied the request: no desktops on Wednesdays'
        double.trouble.refuse(403, "Forbidden", why, verb="create", plural=plural)
        with pytest.raises(RuntimeFailed, match="no desktops on Wednesdays") as caught:
            runtime.start(desktop)
        assert caught.value.reason is FailureReason.REJECTED
        assert things(binding, desktop.request.container_id) == []

    @pytest.mark.parametrize(
        "told",
        [
            (500, "InternalError", 'Internal error occurred: failed calling webhook "policy.example.org"'),
            (503, "ServiceUnavailable", "the server is currently unable to handle the request"),
            (429, "TooManyRequests", "the server has received too many requests"),
            (504, "Timeout", "request did not complete within the allowed duration"),
        ],
    )
    def test_trouble_of_the_cluster_itself_is_no_refusal(
        self, double: Double, runtime: KubernetesRuntime, desktop: Order, told: tuple[int, str, str]
    ) -> None:
        double.trouble.refuse(*told, verb="create", plural="pods")
        with pytest.raises(Unavailable, match=told[2]):
            runtime.start(desktop)
        # what is there already is taken up
        assert usable(runtime, desktop).port

    def test_a_token_that_expires_is_told_and_its_successor_is_read(
        self, double: Double, runtime: KubernetesRuntime, desktop: Order
    ) -> None:
        usable(runtime, desktop)
        double.renew_token()
        with pytest.raises(Unavailable, match="Unauthorized"):
            runtime.list()
        assert list(runtime.list()) == [desktop.request.container_id]

    @pytest.mark.parametrize("plural", ["networkpolicies", "secrets", "pods", "services"])
    def test_a_lost_answer_makes_nothing_twice(
        self, binding: DoubleBinding, double: Double, runtime: KubernetesRuntime, desktop: Order, plural: str
    ) -> None:
        double.trouble.lose_answer(verb="create", plural=plural)
        with pytest.raises(Unavailable):
            runtime.start(desktop)
        assert usable(runtime, desktop).port
        assert len(things(binding, desktop.request.container_id)) == 4

    def test_a_lost_answer_to_a_removal_is_made_up_for(
        self, binding: DoubleBinding, double: Double, runtime: KubernetesRuntime, desktop: Order
    ) -> None:
        usable(runtime, desktop)
        double.trouble.lose_answer(verb="delete", plural="pods")
        with pytest.raises(Unavailable):
            runtime.remove(desktop.request.container_id)
        runtime.remove(desktop.request.container_id)
        assert things(binding, desktop.request.container_id) == []


def test_the_rights_of_the_manifest_are_needed(binding: DoubleBinding, desktop: Order) -> None:
    """With what the contract shows, that they are enough: what a provisioner may do is what it does."""
    runtime, double = binding.runtime(), binding.double
    ear = Ear(runtime)
    wait_until(double.watches)
    usable(runtime, desktop)
    runtime.start(desktop)
    runtime.list()
    runtime.logs(desktop.request.container_id, lines=1)
    runtime.stop(desktop.request.container_id, grace=GRACE)
    runtime.remove(desktop.request.container_id)
    double.trouble.refuse(403, "Forbidden", "not today", verb="create", plural="pods")
    with pytest.raises(RuntimeFailed, match="not today"):
        runtime.start(order(binding.image("tiny")))
    waiting = order(binding.image("tiny"), volumes=volumes_of(Path("/none")))
    runtime.start(waiting)
    wait_until(lambda: (seen := runtime.observe(waiting.request.container_id)) is not None and seen.detail)
    assert ear.close() < 2
    (role,) = (each for each in yaml.safe_load_all(MANIFESTS.read_text()) if each["kind"] == "Role")
    allowed = {(what, verb) for rule in role["rules"] for what in rule["resources"] for verb in rule["verbs"]}
    assert double.rights_used() == allowed


class TestNodes:
    """What becomes of pods that ran."""

    def test_an_eviction_is_told(self, double: Double, runtime: KubernetesRuntime, desktop: Order, ear: Ear) -> None:
        usable(runtime, desktop)
        why = "The node was low on resource: memory. Container main was using 70Mi, which exceeds its request of 64Mi. "
        double.tell(desktop.name, phase="Failed", reason="Evicted", message=why, containerStatuses=None)
        ended = exited(runtime, desktop)
        assert (ended.exit_code, ended.detail) == (137, f"Evicted: {why}")
        wait_until(lambda: desktop.request.container_id in ear.heard)

    def test_the_end_by_lack_of_memory_is_told(
        self, double: Double, runtime: KubernetesRuntime, desktop: Order
    ) -> None:
        usable(runtime, desktop)
        killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
        double.tell(desktop.name, phase="Failed", containerStatuses=[_told("main", killed)])
        ended = exited(runtime, desktop)
        assert (ended.exit_code, ended.detail) == (137, "out of memory")

    def test_a_node_that_is_gone_leaves_the_pod_until_the_cluster_gives_it_up(
        self, binding: DoubleBinding, double: Double, runtime: KubernetesRuntime, desktop: Order, ear: Ear
    ) -> None:
        usable(runtime, desktop)
        why = "Node node1 which was running pod is unresponsive"
        double.tell(desktop.name, reason="NodeLost", message=why)
        seen = runtime.observe(desktop.request.container_id)
        assert seen is not None
        # it may still run there
        assert (seen.status, seen.detail) == (Status.RUNNING, f"NodeLost: {why}")

        binding.lose(desktop.name)
        assert runtime.list() == {}
        wait_until(lambda: desktop.request.container_id in ear.heard)

    async def test_a_mount_that_does_not_come_is_told_by_the_folders_name(self, binding: DoubleBinding) -> None:
        runtime = binding.runtime(volumes="nfs:storage.example.org", roots=("/data/results",))
        wanted = order(binding.image("tiny"), volumes=volumes_of(Path("/data/results/p1"), Path("/software")))
        runtime.start(wanted)

        def is_told() -> bool:
            seen = runtime.observe(wanted.request.container_id)
            return seen is not None and seen.detail.startswith("FailedMount")

        wait_until(is_told)
        told = await why_not_yet(runtime, wanted.request.container_id)
        assert 'volume "data-0 (storage.example.org:/data/results/p1)" : mount failed' in told

    def test_clocks_need_not_agree(self, runtime: KubernetesRuntime, desktop: Order, ear: Ear) -> None:
        for ahead in (timedelta(days=-400), timedelta(days=400)):
            Clock.ahead = ahead
            try:
                wanted = order(desktop.request.image)
                assert usable(runtime, wanted).port
                runtime.stop(wanted.request.container_id, grace=GRACE)
                assert exited(runtime, wanted).exit_code == 0
                wait_until(partial(ear.heard.__contains__, wanted.request.container_id))
                runtime.remove(wanted.request.container_id)
            finally:
                Clock.ahead = timedelta()
        assert runtime.list() == {}


class TestWatches:
    """A watch hears what happened, whatever became of its connection."""

    @pytest.fixture
    def crash(self, binding: DoubleBinding, runtime: KubernetesRuntime) -> Callable[[], UUID]:
        """Makes a pod that ends by itself."""

        def made() -> UUID:
            wanted = order(binding.image("crash"))
            runtime.start(wanted)
            return wanted.request.container_id

        return made

    @pytest.mark.parametrize("trouble", ["end_watches", "cut_watches", "silence_watches", "bookmark"])
    def test_it_goes_on_after(self, double: Double, ear: Ear, crash: Callable[[], UUID], trouble: str) -> None:
        first = crash()
        wait_until(lambda: first in ear.heard)
        getattr(double, trouble)()
        second = crash()
        wait_until(lambda: second in ear.heard)

    def test_what_happened_while_nobody_was_connected_is_heard(
        self, double: Double, ear: Ear, crash: Callable[[], UUID]
    ) -> None:
        double.trouble.refuse(
            503, "ServiceUnavailable", "apiserver is shutting down", verb="watch", plural="pods", times=2
        )
        double.cut_watches()
        missed = crash()
        wait_until(lambda: missed in ear.heard)

    def test_it_begins_anew_when_the_past_is_forgotten(
        self, double: Double, ear: Ear, crash: Callable[[], UUID]
    ) -> None:
        """410 Gone: what was missed is found by the reconciler's next look."""
        double.trouble.refuse(
            503, "ServiceUnavailable", "apiserver is shutting down", verb="watch", plural="pods", times=2
        )
        double.cut_watches()
        crash()
        double.forget()
        wait_until(double.trouble.is_over)
        wait_until(double.watches)
        later = crash()
        wait_until(lambda: later in ear.heard)

    def test_it_waits_for_a_token(self, double: Double, ear: Ear, crash: Callable[[], UUID]) -> None:
        double.renew_token()
        double.cut_watches()
        with pytest.raises(Unavailable):
            crash()
        later = crash()
        wait_until(lambda: later in ear.heard)


def _told(name: str, state: dict[str, Any]) -> dict[str, Any]:
    """What a kubelet says of a container."""
    return {"name": name, "state": state, "ready": False, "restartCount": 0, "image": "", "imageID": ""}
