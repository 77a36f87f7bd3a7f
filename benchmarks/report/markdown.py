"""The report's text from a run's results. Pure: the same results, the same bytes."""

from collections.abc import Iterator, Sequence

from benchmarks.cluster.results import ClusterResults
from benchmarks.figures import LIMITS, PEERS, Figures, cpu_seconds, keeps_up, p50, p99
from benchmarks.goals import make_goals
from benchmarks.plan import GRPC_16, JSON_16, REST_16
from benchmarks.report.cluster import make_cluster_part
from benchmarks.report.tables import NONE, make_table, show_figure, show_number, show_ratio
from benchmarks.results import Results, Stalls
from benchmarks.run import BARE
from benchmarks.servers import VINOSERVE

MODELS = {
    "tiny": "a tiny model: y = max(x + 1, 0) of 16 numbers",
    "resnet": "ResNet-50 at 224 x 224, float32, random weights: 600 kB in each request",
    "mlp": "an MLP of 6 million weights with a dynamic batch, one row in each request",
    "own": "the model given with `--model`",
}
_METHOD = """\
All servers serve the same model, compiled by the same OpenVINO with the same performance hint, on the same cores. Triton's Python
backend, KServe's and MLServer's Python servers call it from a model class of their own kind ([the code](../benchmarks/served)). The
servers of a model are all up, and measured in turn, round by round; what is shown is the median of the rounds, and ± half of the distance
between the smallest and the largest. Before anything is timed each server has answered right over each protocol, and is warm.

In the closed loop the client (wrk for REST, h2load for gRPC) sends the next request when an answer has come. At fixed rates a client of
our own ([openloop](../benchmarks/openloop)) sends requests when they are due, whatever became of earlier ones, and counts each one's time
from when it was due; meanwhile it keeps the cores from sleeping where it may (as root, by /dev/cpu_dma_latency).

The limits are OpenVINO's benchmark_app without any server, a loop on a socket that answers REST requests without reading them, and
nghttpd answering gRPC requests with a file. MLServer's REST knows no binary tensors."""


def make_report(results: Results, cluster: ClusterResults | None, pictures: Sequence[str]) -> str:
    """`pictures`: names of those that there are, in the folder benchmarks/ beside the report."""
    figures = Figures(results)
    parts = [
        *make_head(figures),
        *make_goals_part(figures),
        *make_tiny_part(figures, pictures),
        *make_rates_part(figures, pictures),
        *make_resnet_part(figures),
        *make_batching_part(figures),
        *make_own_part(figures),
        *make_cost_part(figures),
        *(make_cluster_part(cluster, pictures) if cluster else []),
        *make_notes(figures),
    ]
    return "\n\n".join(parts) + "\n"


def make_head(figures: Figures) -> Iterator[str]:
    results, machine = figures.results, figures.results.machine
    yield "# Benchmarks"
    yield "<!-- Made by `python -m benchmarks report` from benchmarks/results: don't edit. -->"
    yield (
        f"Measured on {results.taken} in {show_number(results.minutes)} minutes, one run on one machine: {machine.processor}, "
        f"{machine.cores} cores (servers on {machine.server_cores}, clients on {machine.client_cores}), {machine.memory_gib} GiB, "
        f"{machine.system}, Python {machine.python}. Ratios carry over to other machines better than absolute figures do; `make bench` "
        f"measures yours."
    )
    yield make_table(["software", "version"], [[name, version] for name, version in results.versions.items()])


def make_goals_part(figures: Figures) -> Iterator[str]:
    yield "## What vinoserve is meant to reach"
    rows = []
    for goal in make_goals(figures):
        bound = ("at least " if goal.at_least else "at most ") + f"{goal.wanted:g}{goal.unit}"
        verdict = {True: "yes", False: "no", None: NONE}[goal.met]
        rows.append([goal.what, bound, show_number(goal.found, goal.unit), verdict])
    yield make_table(["", "meant", "found", "reached"], rows)


def make_tiny_part(figures: Figures, pictures: Sequence[str]) -> Iterator[str]:
    yield "## What a server costs: the tiny model"
    yield f"Answers a second from {MODELS['tiny']}, by protocol and requests at a time, closed loop."
    yield make_rates_table(figures, "tiny")
    yield "How many answers vinoserve gives for one of another's:"
    yield make_ratio_table(figures, "tiny")
    yield from show_picture("throughput", "Answers a second over requests at a time", pictures)
    rows = []
    for load in figures.loads("tiny"):
        cells = (figures.find("tiny", server, load) for server in order(figures.servers("tiny")))
        shown = (f"{show_number(p50(c))} / {show_number(p99(c))}" if c else NONE for c in cells)
        rows.append([load.shown, *shown])
    yield "Milliseconds until an answer, p50 / p99:"
    yield make_table(["protocol, requests at a time", *order(figures.servers("tiny"))], rows)


def show_stalls(stalls: Sequence[Stalls]) -> str:
    most, longest = max(one.share for one in stalls), max(one.longest_ms for one in stalls)
    return (
        f"Before each model, while nothing was measured, a process on each of the servers' cores did nothing but look at the clock. It was "
        f"kept from that for up to {show_number(most * 100)}% of the time, at the longest for {show_number(longest)} ms at once: what comes at "
        f"such a moment waits, whatever the server."
    )


def make_rates_table(figures: Figures, model: str) -> str:
    servers = order(figures.servers(model))
    rows = [
        [load.shown, *(show_figure(figures.rate(model, server, load)) for server in servers)]
        for load in figures.loads(model)
    ]
    return make_table(["protocol, requests at a time", *servers], rows)


def make_ratio_table(figures: Figures, model: str) -> str:
    others = [server for server in order(figures.servers(model)) if server != VINOSERVE]
    rows = [
        [load.shown, *(show_ratio(figures.ratio(model, load, other)) for other in others)]
        for load in figures.loads(model)
    ]
    return make_table(["protocol, requests at a time", *others], rows)


def make_rates_part(figures: Figures, pictures: Sequence[str]) -> Iterator[str]:
    cells = [c for c in figures.results.cells if c.load.share is not None]
    if not cells:
        return
    yield "## Latency against rate"
    yield (
        "The tiny model at fixed rates, each server at shares of its own closed-loop throughput. `kept up`: the highest rate at which it "
        "answered at least 97% of what was due in time, in most rounds. The bare loop is at vinoserve's rates: its percentiles are the "
        "client's and the machine's own, and where client and servers share the cores, so are the others' in part."
    )
    yield show_stalls(figures.results.stalls)
    yield from show_picture("latency-rest", "Latency against rate, REST", pictures)
    yield from show_picture("latency-grpc", "Latency against rate, gRPC", pictures)
    rows = []
    for protocol in dict.fromkeys(c.load.protocol for c in cells):
        for server in order(dict.fromkeys(c.server for c in cells)):
            own = [c for c in cells if (c.server, c.load.protocol) == (server, protocol) and keeps_up(c)]
            kept = [one.rate for c in own for one in c.rounds if one.rate]
            half = figures.half_load("tiny", server, protocol)
            if half:
                middle = [show_number(p50(half)), show_number(p99(half)), show_ratio(p99(half) / p50(half))]
                rate = next(one.rate for one in half.rounds)
                rows.append(
                    [
                        f"{server}, {protocol}",
                        show_number(rate),
                        *middle,
                        show_number(max(kept, default=None)),
                    ]
                )
    yield make_table(
        ["at half load", "requests/s", "p50 ms", "p99 ms", "p99 / p50", "kept up, requests/s"], rows
    )


def make_resnet_part(figures: Figures) -> Iterator[str]:
    if not figures.loads("resnet"):
        return
    yield "## A model that takes long: ResNet-50"
    yield f"Answers a second from {MODELS['resnet']}."
    yield make_rates_table(figures, "resnet")
    if alone := figures.inference("resnet"):
        rows = []
        for load in figures.loads("resnet"):
            cells = [load.shown]
            for server in (VINOSERVE, *PEERS):
                found = figures.rate("resnet", server, load)
                cells.append(show_ratio(found.value / alone[0].value) if found else NONE)
            rows.append(cells)
        yield f"As a share of benchmark_app's {show_figure(alone[0])} inferences a second:"
        yield make_table(["protocol, requests at a time", VINOSERVE, *PEERS], rows)


def make_batching_part(figures: Figures) -> Iterator[str]:
    cells = [c for c in figures.results.cells if c.model == "mlp"]
    if not cells:
        return
    yield "## Batching by the server"
    limits = [
        f"{show_figure(found[0])} in batches of {batch}"
        if batch > 1
        else f"{show_figure(found[0])} one at a time"
        for batch in (1, 32)
        if (found := figures.inference("mlp", batch))
    ]
    yield f"Answers a second from {MODELS['mlp']}." + (
        f" benchmark_app: {', '.join(limits)}." if limits else ""
    )
    rows = []
    for load in figures.loads("mlp"):
        for server in (VINOSERVE, *PEERS):
            alone = figures.rate("mlp", server, load)
            most = max((c.max_batch for c in cells if c.server == server), default=0)
            together = figures.rate("mlp", server, load, most) if most else None
            if alone or together:
                gain = figures.batching_gain(server, load)
                rows.append(
                    [f"{server}, {load.shown}", show_figure(alone), show_figure(together), show_ratio(gain)]
                )
    yield make_table(["requests at a time", "one by one", "up to 32 together", "gain"], rows)


def make_own_part(figures: Figures) -> Iterator[str]:
    if figures.loads("own"):
        yield "## A model of your own"
        yield f"Answers a second from {MODELS['own']}."
        yield make_rates_table(figures, "own")
        yield "How many answers vinoserve gives for one of another's:"
        yield make_ratio_table(figures, "own")


def make_cost_part(figures: Figures) -> Iterator[str]:
    yield "## What it takes"
    models = list(dict.fromkeys(start.model for start in figures.results.starts))
    header = [
        "",
        *(f"{model}: {what}" for model in models for what in ("start, s", "memory, MiB", "over bare, MiB")),
    ]
    rows = []
    for server in (VINOSERVE, *PEERS):
        for cached in (False, True) if server == VINOSERVE else (False,):
            row = [f"{server}, compiled model in the cache" if cached else server]
            for model in models:
                row.append(show_figure(figures.start(model, server, cached=cached)))
                held = None if cached else figures.memory(model, server)
                over = None if cached else figures.memory_over_bare(model, server)
                row += [show_figure(held), show_number(over)]
            rows.append(row)
    bare = [BARE + " OpenVINO process"]
    for model in models:
        bare += [show_figure(figures.start(model, BARE)), show_figure(figures.memory(model, BARE)), NONE]
    yield (
        "Seconds from a server's start, alone on the machine, until it says that the model is ready, and memory after the first answer "
        "(what its processes share counted once). The bare process imports OpenVINO, compiles the model, and infers once."
    )
    yield make_table(header, [*rows, bare])
    yield "Seconds of processor time of the server for 1,000 answers:"
    servers = order(figures.servers("tiny"))
    rows = []
    for model, load in (("tiny", REST_16), ("tiny", JSON_16), ("tiny", GRPC_16), ("resnet", REST_16)):
        if load in figures.loads(model):
            found = (figures.find(model, server, load) for server in servers)
            rows.append(
                [f"{model}, {load.shown}", *(show_figure(cpu_seconds(c)) if c else NONE for c in found)]
            )
    yield make_table(["model, protocol, requests at a time", *servers], rows)


def make_notes(figures: Figures) -> Iterator[str]:
    yield "## How it is measured"
    yield _METHOD
    left_out = [f"- {name}: {why}" for name, why in figures.results.absent.items()]
    failures = [
        f"- {c.server}, {c.model}, {c.load.shown}: {sum(one.failed for one in c.rounds)} requests failed"
        for c in figures.failures()
    ]
    if left_out or failures:
        yield "## Left out, and failed requests"
        yield "\n".join([*left_out, *failures])
    yield "## Measure it yourself"
    yield (
        "```\nmake bench                    # about 20 minutes; the report of your machine, and what changed against these results\n"
        "make bench MODEL=model.onnx   # with a small model of yours beside the others\n"
        "make bench CLUSTER=1          # then on a cluster: Linux, root\n"
        "make bench-smoke              # two minutes: whether it all works\n```"
    )


def show_picture(name: str, what: str, pictures: Sequence[str]) -> Iterator[str]:
    if name in pictures:
        yield f"![{what}](benchmarks/{name}.svg)"


def order(servers: Sequence[str] | dict[str, None]) -> list[str]:
    """vinoserve, its peers, the limits."""
    return [name for name in (VINOSERVE, *PEERS, *LIMITS) if name in servers]
