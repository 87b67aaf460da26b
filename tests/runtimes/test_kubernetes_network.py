"""Who may reach a pod, and what it may reach, as the cluster is told."""

from datetime import timedelta

import pytest
from tests.runtimes.orders import image, order

from calipso.events.values import Runtime
from calipso.runtimes.kubernetes import KubernetesRuntime
from calipso.runtimes.kubernetes.objects import Labels, network_policy
from calipso.runtimes.protocol import Target


@pytest.mark.parametrize("egress", [True, False])
def test_a_pod_is_reached_by_us_alone_and_reaches_what_the_target_says(egress: bool) -> None:
    labels = Labels(installation="one", facility="test", target="here")
    wanted = order(image("calipso/tiny:1"))
    place = Target(name="here", runtime=Runtime.KUBERNETES, address="/none", networks=("10.1.0.0/16",), egress=egress)
    runtime = KubernetesRuntime(place, grace=timedelta(seconds=3), installation="one", facility="test")
    spec = network_policy(wanted, labels, runtime._cluster)["spec"]
    assert spec["ingress"] == [
        {"from": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 8888, "protocol": "TCP"}]}
    ]
    # a type that is listed and has no rules lets nothing pass
    assert spec["policyTypes"] == (["Ingress"] if egress else ["Ingress", "Egress"])
    assert "egress" not in spec
