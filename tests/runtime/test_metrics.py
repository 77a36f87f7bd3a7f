"""What Prometheus is told."""

import pytest

from vinoserve_api.contract import RuntimeReport
from vinoserve_api.v1alpha1 import ModelStatus, Startup
from vinoserve_runtime.metric_families import FAMILIES
from vinoserve_runtime.metrics import Metrics, tell_outcome

REPORT = RuntimeReport(
    phase="Ready",
    target_device="HETERO:GPU,CPU",
    execution_devices=("GPU.0", "CPU"),
    device_names=("Intel(R) Arc(TM) A770", "Intel(R) Xeon(R)"),
    on_requested_device=True,
    streams=2,
    infer_requests=4,
    startup=Startup(fetch_seconds=1.5, compile_seconds=2.5, cache_hit=False),
    model=ModelStatus(uri="file:m", digest="sha256:0", format="onnx"),
    engine_errors=3,
)


@pytest.fixture
def metrics() -> Metrics:
    found = Metrics("m", "1")
    found.report = lambda: REPORT
    found.requests["rest", "infer", 200] = 5
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"model": "m", "version": "1", **labels})


def test_every_family_of_the_table_is_there_and_no_other(metrics: Metrics) -> None:
    found = {(f.name, f.type) for f in metrics.collect()}
    assert found == {(f.name.removesuffix("_total"), f.kind) for f in FAMILIES}
    for family in FAMILIES:
        (metric,) = (m for m in metrics.collect() if m.name == family.name.removesuffix("_total"))
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} == {"model", "version", *family.labels}


def test_what_the_report_knows(metrics: Metrics) -> None:
    target = {"target": "HETERO:GPU,CPU"}
    assert value(metrics, "vinoserve_device_info", device="CPU", full_name="Intel(R) Xeon(R)", **target) == 1
    assert value(metrics, "vinoserve_on_requested_device") == 1
    assert value(metrics, "vinoserve_compiled_cache_hit") == 0
    assert value(metrics, "vinoserve_startup_seconds", stage="compile") == 2.5
    assert value(metrics, "vinoserve_startup_seconds", stage="warmup") is None
    assert value(metrics, "vinoserve_engine_errors_total") == 3
    assert value(metrics, "vinoserve_streams") == 2
    assert value(metrics, "vinoserve_phase", phase="Ready") == 1


def test_what_is_not_known_is_left_out() -> None:
    metrics = Metrics("m", "1")
    metrics.report = lambda: RuntimeReport(phase="Fetching", target_device="CPU")
    assert value(metrics, "vinoserve_compiled_cache_hit") is None
    assert value(metrics, "vinoserve_on_requested_device") is None


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        *[(200, "success"), (400, "refused"), (404, "refused"), (413, "refused"), (429, "overloaded")],
        *[(500, "failed"), (503, "overloaded"), (504, "overloaded"), ("OK", "success")],
        *[("INVALID_ARGUMENT", "refused"), ("RESOURCE_EXHAUSTED", "overloaded"), ("INTERNAL", "failed")],
        *[("UNAVAILABLE", "overloaded"), ("DEADLINE_EXCEEDED", "overloaded"), ("NOT_FOUND", "refused")],
    ],
)
def test_outcomes(code: int | str, outcome: str) -> None:
    assert tell_outcome(code) == outcome


def test_histograms_add_up(metrics: Metrics) -> None:
    for samples in (1, 3, 3, 2000):
        metrics.batch_size.observe(samples)
    assert value(metrics, "vinoserve_batch_size_bucket", le="1.0") == 1
    assert value(metrics, "vinoserve_batch_size_bucket", le="4.0") == 3
    assert value(metrics, "vinoserve_batch_size_bucket", le="+Inf") == 4
    assert value(metrics, "vinoserve_batch_size_sum") == 2007
