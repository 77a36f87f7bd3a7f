"""The report is made of figures, and of nothing else."""

import os
import re
from pathlib import Path

import pytest

from benchmarks import keep
from benchmarks.compare import compare
from benchmarks.figures import Figure, Figures
from benchmarks.goals import make_goals
from benchmarks.plan import HALF, REST_16, make_plan, make_smoke_plan
from benchmarks.report.markdown import make_report
from benchmarks.report.pictures import make_pictures
from benchmarks.report.tables import make_table, show_figure, show_number, show_ratio
from benchmarks.results import Results
from benchmarks.servers import TRITON, VINOSERVE
from tests.benchmarks.results_made import make_cluster_results, make_results

GOLDEN = Path(__file__).parent / "report.md"


def test_the_report_is_as_it_was() -> None:
    """VINOSERVE_UPDATE_GOLDEN=1 writes it anew: then look at the diff."""
    results, cluster = make_results(), make_cluster_results()
    text = make_report(results, cluster, list(make_pictures(results, cluster)))
    if os.environ.get("VINOSERVE_UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_the_kept_report_is_made_of_the_kept_results() -> None:
    place = keep.kept()
    assert place.report.read_text() == place.make_text(), "run `python -m benchmarks report`"
    shown = set(re.findall(r"\]\((benchmarks/\S+\.svg)\)", place.report.read_text()))
    assert shown == {f"benchmarks/{path.name}" for path in place.report.with_suffix("").glob("*.svg")}


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    results = make_results()
    results.write(tmp_path / "a/serving.json")
    assert Results.read(tmp_path / "a/serving.json") == results


def test_what_was_not_measured_is_said_to_be_so() -> None:
    results = make_results()
    only = results.model_copy(
        update={"cells": tuple(c for c in results.cells if c.server == VINOSERVE), "inferences": ()}
    )
    assert {goal.met for goal in make_goals(Figures(only)) if "against" in goal.what} == {None, True}
    assert "| REST, binary tensors, against Triton, tiny model | at least 5x | - | - |" in make_report(
        only, None, []
    )


def test_goals_are_judged_by_the_figures() -> None:
    goals = {goal.what: goal for goal in make_goals(Figures(make_results()))}
    ahead = goals["REST, binary tensors, against Triton, tiny model"]
    assert (ahead.found, ahead.met) == (5.0, True)
    assert goals["REST, binary tensors, against KServe, tiny model"].met
    assert goals["Start to ready with a cache hit, ResNet-50"].found == pytest.approx(0.6)
    assert goals["Memory over a bare OpenVINO process, ResNet-50"].found == 35
    slower = {goal.what: goal for goal in make_goals(Figures(make_results(0.5)))}
    assert not slower["REST, binary tensors, against Triton, tiny model"].met


def test_a_later_run_shows_what_got_slower_and_noise_is_none() -> None:
    changes = compare(make_results(), make_results(0.7))
    worse = [change for change in changes if change.notable]
    assert worse
    assert all("throughput" in change.what and change.factor == pytest.approx(0.7) for change in worse)
    assert changes[0].shown == "    WORSE  x 0.70  tiny: throughput, REST binary, 1 at a time"
    assert not any(change.notable for change in compare(make_results(), make_results(0.98)))


def test_medians_spreads_and_ratios() -> None:
    assert Figure.of([90, 100, 120]) == Figure(100, 0.15)
    assert Figures(make_results()).ratio("tiny", REST_16, TRITON) == 5
    assert Figures(make_results()).ratio("tiny", REST_16, "nobody") is None


def test_numbers_as_people_read_them() -> None:
    assert [show_number(n) for n in (0.1234, 1.234, 12.34, 1234.5, None)] == [
        "0.123",
        "1.23",
        "12.3",
        "1,234",
        "-",
    ]
    assert show_figure(Figure(1500, 0.049)) == "1,500 ± 5%"
    assert show_figure(Figure(1500, 0.004), " s") == "1,500 s"
    assert [show_ratio(r) for r in (0.956, 12.3, None)] == ["0.96x", "12x", "-"]
    assert make_table(["a", "b"], [["c", "1"]]) == "| a | b |\n| --- | ---: |\n| c | 1 |"


def test_pictures_have_what_was_measured() -> None:
    specs = make_pictures(make_results(), make_cluster_results())
    assert list(specs) == ["throughput", "latency-rest", "latency-grpc", "fleets"]
    values = specs["latency-rest"]["data"]["values"]
    assert {value["percentile"] for value in values} == {"p50", "p99"}
    assert {value["server"] for value in values} == {"vinoserve", "Triton", "KServe"}
    assert [value["x"] for value in specs["fleets"]["data"]["values"]][::3] == [100, 1000, 5000]


def test_a_users_model_is_measured_beside_the_others() -> None:
    for make in (make_plan, make_smoke_plan):
        assert [stage.model for stage in make(own=True).stages if stage.model != "resnet"] == [
            "tiny",
            "own",
            "mlp",
        ]


def test_a_server_that_falls_behind_at_half_load_has_missed_the_goal() -> None:
    results = make_results()
    cells = [
        c.model_copy(
            update={"rounds": tuple(one.model_copy(update={"answers_per_second": 1.0}) for one in c.rounds)}
        )
        if c.load.share == HALF
        else c
        for c in results.cells
    ]
    behind = results.model_copy(update={"cells": tuple(cells)})
    text = make_report(behind, None, [])
    assert "| p99 for one p50 at half load, gRPC | at most 3x | fell behind | no |" in text
