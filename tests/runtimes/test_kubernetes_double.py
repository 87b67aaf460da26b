"""The Kubernetes runtime keeps the contract on the double, and the double is held to what real clusters do."""

import pytest
from tests.runtimes.contract import RuntimeContract
from tests.runtimes.double_binding import DoubleBinding
from tests.runtimes.kubernetes_api_contract import ApiContract
from tests.runtimes.kubernetes_contract import KubernetesContract
from tests.runtimes.kubernetes_volumes_contract import VolumesContract
from tests.runtimes.optional_contract import ForceContract, ServiceContract
from tests.runtimes.reconciling_contract import ReconcilingContract

pytestmark = pytest.mark.slow


@pytest.fixture
def binding(double_binding: DoubleBinding) -> DoubleBinding:
    return double_binding


class TestKubernetesDouble(RuntimeContract, ForceContract, ServiceContract):
    """The contract, on pods of the double."""


class TestReconciledDouble(ReconcilingContract):
    """What the reconciler does."""


class TestClusterDouble(KubernetesContract):
    """What only a cluster has."""


class TestApiDouble(ApiContract):
    """What API servers and kubelets say."""


class TestVolumesDouble(VolumesContract):
    """Folders on the node."""
