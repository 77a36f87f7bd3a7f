"""The Grafana dashboard of the model pods."""

from typing import Final

from tools.generate.panels import RATE, SOURCE, Target, make_json, make_series, make_stat, make_table

_MODEL: Final = '{model=~"$model"}'


def make_model_dashboard() -> str:
    """Ordered as one asks: does it serve, how fast, what holds it up, what does it run on, how did it start."""
    panels = [
        make_stat("Phase", [(f"max by (model, phase) (vinoserve_phase{_MODEL})", "{{model}}: {{phase}}")], 6, text="name"),
        make_stat("On the requested device", [(f"min by (model) (vinoserve_on_requested_device{_MODEL})", "{{model}}")], 6, yes_no=True),
        make_stat("Engine errors", [(f"sum by (model) (increase(vinoserve_engine_errors_total{_MODEL}[1h]))", "{{model}}")], 6),
        make_stat("Compiled model from the cache", [(f"avg by (model) (vinoserve_compiled_cache_hit{_MODEL})", "{{model}}")], 6, unit="percentunit"),
        make_series("Inference requests by outcome", [(f'sum by (model, api, outcome) (rate(vinoserve_requests_total{{operation="infer", model=~"$model"}}{RATE}))', "{{model}} {{api}} {{outcome}}")], "reqps"),
        make_series("Request time", [_quantile(q) for q in ("0.5", "0.95", "0.99")], "s"),
        make_series("Where the time goes (mean)", [_mean("request"), _mean("queue"), _mean("inference")], "s"),
        make_series("Load", [
            (f"sum by (model) (vinoserve_requests_in_flight{_MODEL})", "{{model}} running"),
            (f"sum by (model) (vinoserve_infer_requests{_MODEL})", "{{model}} can run"),
            (f"sum by (model) (vinoserve_queue_length{_MODEL})", "{{model}} waiting"),
            (f"sum by (model) (vinoserve_connections{_MODEL})", "{{model}} connections"),
        ], "short"),
        make_series("Samples in an inference (mean)", [(f"sum by (model) (rate(vinoserve_batch_size_sum{_MODEL}{RATE})) / sum by (model) (rate(vinoserve_batch_size_count{_MODEL}{RATE}))", "{{model}}")], "short"),
        make_series("Memory", [(f"process_resident_memory_bytes * on (instance) group_left (model) max by (instance, model) (vinoserve_phase{_MODEL})", "{{model}} {{instance}}")], "bytes"),
        make_series("CPU cores", [(f"rate(process_cpu_seconds_total{RATE}) * on (instance) group_left (model) max by (instance, model) (vinoserve_phase{_MODEL})", "{{model}} {{instance}}")], "short"),
        make_series("Start, by stage", [(f"max by (model, stage) (vinoserve_startup_seconds{_MODEL})", "{{model}} {{stage}}")], "s"),
        make_table("Devices", f"count by (model, target, device, full_name) (vinoserve_device_info{_MODEL})"),
        make_table("Models", f"count by (model, version, format, digest) (vinoserve_model_info{_MODEL})"),
        make_series("Streams", [(f"max by (model) (vinoserve_streams{_MODEL})", "{{model}}")], "short"),
        make_series("Idle: models let go of, and loaded again", [
            (f"sum by (model) (vinoserve_released{_MODEL})", "{{model}}: pods without their model"),
            (f"sum by (model, outcome) (increase(vinoserve_reloads_total{_MODEL}[1h]))", "{{model}}: reloads in the last hour, {{outcome}}"),
        ], "short"),
    ]  # fmt: skip
    return make_json("vinoserve-models", "vinoserve: models", panels, [_MODELS])


_MODELS: Final = {
    "name": "model",
    "type": "query",
    "label": "Model",
    "datasource": SOURCE,
    "query": "label_values(vinoserve_phase, model)",
    "refresh": 2,
    "multi": True,
    "includeAll": True,
    "allValue": ".+",
    "current": {"text": "All", "value": "$__all"},
}


def _quantile(quantile: str) -> Target:
    buckets = f"sum by (model, le) (rate(vinoserve_request_seconds_bucket{_MODEL}{RATE}))"
    return f"histogram_quantile({quantile}, {buckets})", "{{model}} p" + quantile.removeprefix("0.").ljust(
        2, "0"
    )


def _mean(what: str) -> Target:
    total, count = (
        f"sum by (model) (rate(vinoserve_{what}_seconds_{part}{_MODEL}{RATE}))" for part in ("sum", "count")
    )
    return f"{total} / {count}", "{{model}} " + what
