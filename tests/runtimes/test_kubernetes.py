"""The Kubernetes runtime keeps the contract on a real cluster."""

import pytest
from tests.runtimes.contract import RuntimeContract
from tests.runtimes.kubernetes_binding import KubernetesBinding

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow]


class TestKubernetes(RuntimeContract):
    """The contract, on pods."""

    @pytest.fixture
    def binding(self, kubernetes_binding: KubernetesBinding) -> KubernetesBinding:
        return kubernetes_binding
