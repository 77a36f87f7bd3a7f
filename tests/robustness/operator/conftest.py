"""The fake API server and what runs in its cluster."""

from tests.operator.conftest import api, kubeconfig, workloads

__all__ = ["api", "kubeconfig", "workloads"]
