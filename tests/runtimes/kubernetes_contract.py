"""What only a cluster has: objects that belong together, rights, schedulers, quotas."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from kubernetes import client
from tests.runtimes.binding import usable
from tests.runtimes.kubernetes_binding import KubernetesBinding
from tests.runtimes.orders import IDENTITY, order, wait_until

from calipso.errors import Unavailable
from calipso.events.values import FailureReason, Protocol, Resources
from calipso.runtimes.looking import why_not_yet
from calipso.runtimes.protocol import Order, RuntimeFailed, Status


class KubernetesContract:
    """What only a cluster has. A subclass is all that a cluster needs, beside a fixture `binding`."""

    @pytest.fixture
    def desktop(self, binding: KubernetesBinding) -> Order:
        return order(binding.image("vnc", Protocol.VNC))

    @pytest.fixture
    def namespace(self, binding: KubernetesBinding) -> Iterator[str]:
        """A namespace of the test's own, in which pods may be made."""
        core, name = binding.core, f"calipso-test-{uuid4().hex[:8]}"
        core.create_namespace({"metadata": {"name": name}})  # type: ignore[arg-type]  # a dict is taken too
        accounts = core.list_namespaced_service_account
        wait_until(lambda: any(a.metadata.name == "default" for a in accounts(name).items if a.metadata))
        yield name
        core.delete_namespace(name, _preload_content=False)

    def test_the_pod_owns_what_belongs_to_it(self, binding: KubernetesBinding, desktop: Order) -> None:
        usable(binding.runtime(), desktop)
        pod, *others = things(binding, desktop.request.container_id)
        assert len(others) == 3
        assert all(thing.metadata.owner_references[0].uid == pod.metadata.uid for thing in others)

        binding.lose(desktop.name)
        wait_until(lambda: not things(binding, desktop.request.container_id), seconds=60)

    def test_nothing_is_left_after_removal(self, binding: KubernetesBinding, desktop: Order) -> None:
        runtime = binding.runtime()
        usable(runtime, desktop)
        runtime.remove(desktop.request.container_id)
        assert things(binding, desktop.request.container_id) == []

    def test_what_is_stopped_is_held_until_it_is_removed_and_by_nobody_else(
        self, binding: KubernetesBinding, desktop: Order, end_codes: frozenset[int]
    ) -> None:
        runtime, container_id = binding.runtime(), desktop.request.container_id
        usable(runtime, desktop)
        binding.hold(desktop.name, "calipso.test/hold")
        runtime.stop(container_id, grace=timedelta(seconds=5))
        # its node may have its log no more
        assert not any("unable" in line for line in runtime.logs(container_id, lines=10))
        binding.lose(desktop.name)
        seen = runtime.observe(container_id)
        assert seen is not None
        assert seen.status is Status.EXITED
        assert seen.exit_code in end_codes

        runtime.remove(container_id)
        assert binding.pod(desktop.name).metadata.finalizers == ["calipso.test/hold"]
        binding.hold(desktop.name, None)
        assert runtime.observe(container_id) is None

    def test_what_somebody_deletes_meanwhile_is_waited_for(self, binding: KubernetesBinding) -> None:
        runtime, wanted = binding.runtime(), order(binding.image("stubborn"))
        usable(runtime, wanted)
        binding.core.delete_namespaced_pod(wanted.name, "default", grace_period_seconds=2)
        runtime.stop(wanted.request.container_id, grace=timedelta(seconds=5))
        seen = runtime.observe(wanted.request.container_id)
        assert seen is None or seen.status is Status.EXITED

    def test_what_has_not_begun_is_stopped_at_once(self, binding: KubernetesBinding) -> None:
        runtime, wanted = binding.runtime(), order(binding.image("missing"))
        runtime.start(wanted)
        wait_until(lambda: binding.pod(wanted.name).spec.node_name)
        runtime.stop(wanted.request.container_id, grace=timedelta(seconds=5))
        seen = runtime.observe(wanted.request.container_id)
        assert seen is None or seen.status is Status.EXITED
        runtime.remove(wanted.request.container_id)
        assert things(binding, wanted.request.container_id) == []

    def test_a_pod_has_no_privileges(self, binding: KubernetesBinding, desktop: Order) -> None:
        usable(binding.runtime(), desktop)
        spec = binding.pod(desktop.name).spec
        of_pod, of_container = spec.security_context, spec.containers[0].security_context
        assert (of_pod.run_as_user, of_pod.run_as_group, of_pod.run_as_non_root) == (IDENTITY.uid, IDENTITY.gid, True)
        assert of_pod.seccomp_profile.type == "RuntimeDefault"
        assert (of_container.allow_privilege_escalation, of_container.read_only_root_filesystem) == (False, True)
        assert of_container.capabilities.drop == ["ALL"]
        assert spec.automount_service_account_token is False
        assert spec.restart_policy == "Never"
        resources = spec.containers[0].resources
        assert resources.requests == resources.limits

    def test_only_the_networks_of_the_target_may_reach_a_pod(self, binding: KubernetesBinding, desktop: Order) -> None:
        binding.runtime().start(desktop)
        policy = client.NetworkingV1Api(binding.api).read_namespaced_network_policy(desktop.name, "default")
        assert policy.spec is not None
        assert policy.spec.policy_types == ["Ingress"]
        (rule,) = policy.spec.ingress or []
        assert [peer.ip_block.cidr for peer in rule.var_from or [] if peer.ip_block] == ["127.0.0.0/8", "10.244.0.0/16"]
        assert [port.port for port in rule.ports or []] == [5901]

    def test_inside_the_cluster_a_pod_is_reached_by_its_service(
        self, binding: KubernetesBinding, desktop: Order
    ) -> None:
        placement = usable(binding.runtime(service="ClusterIP"), desktop)
        service = binding.core.read_namespaced_service(desktop.name, "default")
        assert service.spec is not None
        assert (placement.host, placement.port) == (service.spec.cluster_ip, 5901)

    async def test_the_schedulers_reason_is_told(self, binding: KubernetesBinding) -> None:
        spec = replace(binding.image("tiny"), resources=Resources(millicores=512_000))
        runtime, wanted = binding.runtime(), order(spec)
        runtime.start(wanted)
        container_id = wanted.request.container_id

        def detail() -> str:
            seen = runtime.observe(container_id)
            return seen.detail if seen else ""

        wait_until(detail)
        assert "Unschedulable" in await why_not_yet(runtime, container_id)
        assert "Insufficient cpu" in detail()

        begun = time.monotonic()
        runtime.stop(container_id, grace=timedelta(seconds=30))
        assert time.monotonic() - begun < 5
        assert runtime.list() == {}

    def test_a_full_quota_of_the_namespace_is_told_and_leaves_nothing(
        self, binding: KubernetesBinding, namespace: str, desktop: Order
    ) -> None:
        core = binding.core
        quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
        core.create_namespaced_resource_quota(namespace, quota)  # type: ignore[arg-type]  # a dict is taken too

        def counts() -> bool:
            found: Any = core.read_namespaced_resource_quota("none", namespace)
            return bool(found.status and found.status.used)

        wait_until(counts)
        with pytest.raises(RuntimeFailed, match="exceeded quota"):
            binding.runtime(namespace=namespace).start(desktop)
        assert things(binding, desktop.request.container_id, namespace) == []

    @pytest.mark.parametrize(("is_bound", "why"), [(False, '"calipso-absent" not found'), (True, "is forbidden")])
    def test_a_namespace_that_is_not_there_is_told(
        self, binding: KubernetesBinding, desktop: Order, tmp_path: Path, *, is_bound: bool, why: str
    ) -> None:
        """By an account of all namespaces, and by one whose rights went with its namespace."""
        address = binding.provisioner("default", tmp_path) if is_bound else str(binding.kubeconfig)
        with pytest.raises(RuntimeFailed, match=why) as caught:
            binding.made(address, "here", "ours", namespace="calipso-absent").start(desktop)
        assert caught.value.reason is FailureReason.REJECTED
        assert "calipso-absent" in caught.value.detail

    @pytest.mark.parametrize("kind", ["secret", "service", "network_policy"])
    def test_a_strangers_object_is_respected(self, binding: KubernetesBinding, desktop: Order, kind: str) -> None:
        """What has a name of ours, and not our labels."""
        runtime, stranger = binding.runtime(), binding.strangers_object(kind, desktop.name)
        with pytest.raises(RuntimeFailed, match="is taken by a") as caught:
            runtime.start(desktop)
        runtime.remove(desktop.request.container_id)
        assert caught.value.reason is FailureReason.REJECTED
        assert things(binding, desktop.request.container_id) == []
        assert stranger()

    def test_another_namespace_is_as_good_and_a_wrong_token_is_told(
        self, binding: KubernetesBinding, namespace: str, desktop: Order, tmp_path: Path
    ) -> None:
        address = binding.provisioner(namespace, tmp_path)
        runtime = binding.made(address, "here", f"ours-{binding.installation}", namespace=namespace)

        usable(runtime, desktop)
        container_id = desktop.request.container_id
        assert list(runtime.list()) == [container_id]
        runtime.logs(container_id, lines=10)
        runtime.remove(container_id)
        assert "Kubernetes" in runtime.ping()
        assert things(binding, container_id, namespace) == []

        address = binding.kubeconfig_of("expired", tmp_path)
        with pytest.raises(Unavailable, match="Unauthorized"):
            binding.made(address, "here", "ours", namespace=namespace).ping()


def things(binding: KubernetesBinding, container_id: UUID, namespace: str = "default") -> list[Any]:
    """All that there is of a container."""
    selector, networking = f"calipso.eu/container={container_id}", client.NetworkingV1Api(binding.api)
    lists: list[Callable[..., Any]] = [
        binding.core.list_namespaced_pod,
        binding.core.list_namespaced_service,
        binding.core.list_namespaced_secret,
        networking.list_namespaced_network_policy,
    ]
    return [item for ask in lists for item in ask(namespace, label_selector=selector).items]
