"""The Kubernetes runtime keeps the contract on a real cluster."""

import pytest
from tests.runtimes.cluster_binding import ClusterBinding
from tests.runtimes.contract import RuntimeContract
from tests.runtimes.kubernetes_api_contract import ApiContract
from tests.runtimes.kubernetes_contract import KubernetesContract
from tests.runtimes.kubernetes_volumes_contract import VolumesContract
from tests.runtimes.optional_contract import ForceContract, ServiceContract
from tests.runtimes.reconciling_contract import ReconcilingContract

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]


@pytest.fixture
def binding(cluster_binding: ClusterBinding) -> ClusterBinding:
    return cluster_binding


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
