"""The parts of the cluster's benchmarks that need no cluster."""

from benchmarks.cluster.first_answer import is_right, is_so
from benchmarks.cluster.fleet import make_service
from benchmarks.cluster.run import FLEETS, read_kubernetes_version, sum_samples
from vinoserve_api.reading import read_service

METRICS = """# TYPE vinoserve_operator_api_requests_total counter
vinoserve_operator_api_requests_total{code="200",resource="deployments",verb="patch"} 12.0
vinoserve_operator_api_requests_total{code="409",resource="events",verb="post"} 3.0
vinoserve_operator_queue_depth 7.0
"""


def test_a_metric_s_samples_are_added_up() -> None:
    assert sum_samples(METRICS, "vinoserve_operator_api_requests_total") == 15
    assert sum_samples(METRICS, "vinoserve_operator_queue_depth") == 7
    assert sum_samples("", "vinoserve_operator_queue_depth") == 0


def test_a_fleet_s_services_are_valid_and_without_pods() -> None:
    service = read_service(make_service("s00001"))
    assert service.spec.suspend
    assert {count for count, rate in FLEETS if rate is None} == {100, 1000, 5000}


def test_ready_is_what_the_condition_says() -> None:
    def service(status: str) -> dict[str, object]:
        return {"status": {"conditions": [{"type": "Ready", "status": status}]}}

    assert is_so("deployment", {"metadata": {}})
    assert not is_so("deployment", {})
    assert is_so("ready", service("True"))
    assert not any(is_so("ready", found) for found in ({}, {"metadata": {}}, service("False")))


def test_an_answer_is_right_whatever_its_number_of_digits() -> None:
    assert is_right([1.637], [1.6369999647])
    assert not is_right([], [1.0])
    assert not is_right([1.1], [1.0])


def test_the_cluster_s_version_is_told() -> None:
    assert read_kubernetes_version().startswith("v1.")
