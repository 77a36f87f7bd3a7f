"""The alerts: sound to Prometheus, on metrics that there are, each shown firing and silent."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.chart.conftest import CHART
from vinoserve_operator.metrics import FAMILIES as OPERATOR_FAMILIES
from vinoserve_runtime.metric_families import FAMILIES as RUNTIME_FAMILIES

ALERTS = CHART / "files/alerts.yaml"
TESTS = Path(__file__).parent / "alerts.test.yaml"
FAMILIES = {family.name: family for family in (*OPERATOR_FAMILIES, *RUNTIME_FAMILIES)}
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def promtool(prometheus_binary: Path) -> Path:
    return prometheus_binary.with_name("promtool")


def test_promtool_finds_them_sound(promtool: Path) -> None:
    done = subprocess.run([promtool, "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_promtool_sees_them_fire_and_keep_silent(promtool: Path, tmp_path: Path) -> None:
    for file in (ALERTS, TESTS):
        shutil.copy(file, tmp_path)
    command = [promtool, "test", "rules", tmp_path / TESTS.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_is_tested_both_ways() -> None:
    told = [case for test in yaml.safe_load(TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    names = {rule["alert"] for rule in RULES}
    assert {case["alertname"] for case in told if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in told if not case.get("exp_alerts")} == names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_is_about_metrics_and_labels_that_there_are(rule: dict[str, str]) -> None:
    used = set(re.findall(r"\bvinoserve_[a-z_]+", rule["expr"]))
    assert used
    for name in used:
        family = FAMILIES.get(name) or FAMILIES[re.sub(r"_(bucket|count|sum)$", "", name)]
        matchers = re.findall(rf"{name}\{{([^}}]*)\}}", rule["expr"])
        labels = {label for found in matchers for label in re.findall(r"(\w+)=", found)}
        assert labels <= set(family.labels), name
