"""`python -m benchmarks`: measure, show what changed, write the report."""

import argparse
import signal
import sys
from pathlib import Path

from benchmarks import keep
from benchmarks.cluster.run import run_cluster
from benchmarks.compare import compare
from benchmarks.models import adopt_model, make_model
from benchmarks.plan import make_plan, make_smoke_plan
from benchmarks.programs import build_programs
from benchmarks.results import Results
from benchmarks.run import run_plan
from tools.toolbox.errors import run_main
from tools.toolbox.progress import say


def main() -> int:
    options = make_parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of all that has to be ended first
    match options.command:
        case "run":
            place = keep.kept() if options.keep else keep.latest()
            measure_serving(place, options.model, smoke=options.smoke)
        case "cluster":
            place = keep.kept() if options.keep else keep.latest()
            run_cluster(make_model("tiny"), smoke=options.smoke).write(place.cluster)
            if place.serving.exists():
                write_report(place)
        case "compare":
            show_changes(Results.read(options.earlier), Results.read(options.later))
        case _:
            write_report(keep.kept())
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="vinoserve, its peers and the limits, side by side."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="measure the servers on this machine, in about 20 minutes")
    run.add_argument("--model", type=Path, metavar="FILE", help="measure this small model too, beside ours")
    cluster = commands.add_parser(
        "cluster", help="measure the operator on a cluster of its own (Linux, root)"
    )
    for command in (run, cluster):
        command.add_argument("--smoke", action="store_true", help="shortly: only for whether it works")
        command.add_argument(
            "--keep",
            action="store_true",
            help="keep the results in benchmarks/results and the report in docs (default: in the cache folder)",
        )
    commands.add_parser("report", help="make docs/benchmarks.md anew from the kept results")
    compared = commands.add_parser("compare", help="what got slower or faster between two files of results")
    compared.add_argument("earlier", type=Path)
    compared.add_argument("later", type=Path)
    return parser


def measure_serving(place: keep.Place, file: Path | None, *, smoke: bool) -> None:
    plan = (make_smoke_plan if smoke else make_plan)(own=file is not None)
    models = {kind: make_model(kind) for kind in ("tiny", "resnet", "mlp")}
    if file:
        models["own"] = adopt_model(file)
    before = keep.kept().serving
    earlier = Results.read(before) if before.exists() and not smoke else None
    results = run_plan(plan, models, build_programs())
    results.write(place.serving)
    if earlier:
        say("\nagainst the kept results, as shares of the limits of the same run:")
        show_changes(earlier, results)
    write_report(place)


def show_changes(earlier: Results, later: Results) -> None:
    for change in compare(earlier, later):
        print(change.shown, flush=True)  # noqa: T201


def write_report(place: keep.Place) -> None:
    place.write_report()
    say(f"the report is in {place.report}")


if __name__ == "__main__":
    sys.exit(run_main("benchmarks", main))
