"""The Grafana dashboard of the operator."""

from typing import Final

from tools.generate.panels import RATE, Target, make_json, make_series, make_stat, make_table

_P: Final = "vinoserve_operator"


def make_operator_dashboard() -> str:
    """Ordered as one asks: does it work, how are the services, how quick is it, what holds it up, what does it cost."""
    panels = [
        make_stat("Leads", [(f"sum({_P}_leader)", "")], 6, yes_no=True),
        make_stat("Services that are ready", [(f'sum({_P}_services{{ready="True"}})', "")], 6),
        make_stat("Services", [(f"sum({_P}_services)", "")], 6),
        make_stat("Objects that fail", [(f"max({_P}_queue_failing)", "")], 6),
        make_series("Services by what Ready says", [(f"sum by (ready, reason) ({_P}_services)", "{{ready}} {{reason}}")], "short"),
        make_table("Stalled services", f"max by (namespace, service, reason) ({_P}_service_stalled)"),
        make_series("Queue", [
            (f"max({_P}_queue_depth)", "wait"),
            (f"max({_P}_queue_running)", "looked at"),
            (f"max({_P}_queue_failing)", "fail"),
        ], "short"),
        make_series("Objects looked at", [(f"sum by (kind) (rate({_P}_reconcile_seconds_count{RATE}))", "{{kind}}")], "ops"),
        make_series("Time for one", [_quantile(q) for q in ("0.5", "0.9", "0.99")], "s"),
        make_series("Errors", [(f"sum by (kind, error) (rate({_P}_reconcile_errors_total{RATE}))", "{{kind}} {{error}}")], "ops"),
        make_series("Requests to the API server", [(f"sum by (verb, resource) (rate({_P}_api_requests_total{RATE}))", "{{verb}} {{resource}}")], "reqps"),
        make_series("Answers of the API server", [(f"sum by (code) (rate({_P}_api_requests_total{RATE}))", "{{code}}")], "reqps"),
        make_series("Statuses written", [(f'sum by (resource) (rate({_P}_api_requests_total{{verb="patch", resource=~".*/status"}}{RATE}))', "{{resource}}")], "wps"),
        make_series("Events of the watches", [(f"sum by (kind) (rate({_P}_watch_events_total{RATE}))", "{{kind}}")], "ops"),
        make_series("Since the last event", [(f"min by (kind) ({_P}_watch_age_seconds)", "{{kind}}")], "s"),
        make_series("Watches that began anew", [(f"sum(increase({_P}_watch_restarts_total{RATE}))", "")], "short"),
        make_series("Memory", [_of_operator("process_resident_memory_bytes")], "bytes"),
        make_series("CPU cores", [_of_operator(f"rate(process_cpu_seconds_total{RATE})")], "short"),
    ]  # fmt: skip
    return make_json("vinoserve-operator", "vinoserve: operator", panels)


def _quantile(quantile: str) -> Target:
    buckets = f"sum by (le) (rate({_P}_reconcile_seconds_bucket{RATE}))"
    return f"histogram_quantile({quantile}, {buckets})", "p" + quantile.removeprefix("0.").ljust(2, "0")


def _of_operator(expression: str) -> Target:
    """Of a process that has the operator's metrics as well."""
    return f"{expression} and on (instance) {_P}_leader", "{{instance}}"
