"""The Kubernetes runtime keeps the contract on a real cluster."""

import json
from typing import Any

import pytest
from kubernetes import client
from tests.runtimes.cluster_binding import ClusterBinding
from tests.runtimes.contract import RuntimeContract
from tests.runtimes.kubernetes_api_contract import ApiContract
from tests.runtimes.kubernetes_contract import KubernetesContract
from tests.runtimes.kubernetes_volumes_contract import VolumesContract
from tests.runtimes.optional_contract import ForceContract, ServiceContract
from tests.runtimes.reconciling_contract import ReconcilingContract

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]
_FIRST_THAT_TELLS = 22


@pytest.fixture
def binding(cluster_binding: ClusterBinding) -> ClusterBinding:
    return cluster_binding


@pytest.fixture
def end_codes(binding: ClusterBinding) -> frozenset[int]:
    """Kubelets before 1.22 may remove a container before they tell of it, and then know only that it has ended."""
    version: Any = client.VersionApi(binding.api).get_code(_preload_content=False)
    minor = int(json.loads(version.data)["minor"].rstrip("+"))
    return frozenset({0} if minor >= _FIRST_THAT_TELLS else {0, 137})


class TestKubernetes(RuntimeContract, ForceContract, ServiceContract):
    """The contract, on pods."""


class TestReconciledKubernetes(ReconcilingContract):
    """What the reconciler does."""


class TestCluster(KubernetesContract):
    """What only a cluster has."""


class TestApi(ApiContract):
    """What API servers and kubelets say."""


class TestVolumes(VolumesContract):
    """Folders on the node."""
