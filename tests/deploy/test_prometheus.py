"""Dashboard, alert rules and scrape example: each is valid and uses only existing metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml

from ccarchiver_core.config.settings import Settings
from tests.core.redis_helpers import looking_into, site
from tests.health.exposition import scrape
from tests.health.metrics_scenario import running_scenario
from tests.support.markdown import anchors
from tests.support.promtool import check_config, check_rules, run_rule_tests

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis
    from tests.health.exposition import Exposition

ROOT = Path(__file__).parent.parent.parent
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yaml"
SCRAPE = ROOT / "deploy" / "prometheus" / "prometheus.yml"
RULE_TESTS = ROOT / "tests" / "data" / "prometheus" / "alerts_test.yaml"

VARIABLES = {"$__rate_interval": "5m"}
"""Variables that Grafana replaces."""

SELECTOR = re.compile(r"\b(ccarchiver_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
GROUPING = re.compile(r"\bby \(([^)]*)\)")
SHOWN = {
    "state",
    "alarms",
    "images by outcome",
    "mailboxes",
    "dead letters",
    "pairing",
    "workers",
    "latencies",
}
"""What an operator needs: each term is in the title of a panel or a row."""


def expressions() -> list[str]:
    """Return every expression of the dashboard as Prometheus receives it."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    found = [str(target["expr"]) for panel in panels for target in panel.get("targets", [])]
    for name, value in VARIABLES.items():
        found = [expression.replace(name, value) for expression in found]
    assert not [expression for expression in found if "$" in expression], "unknown variable"
    return found


def alerts() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return cast("list[dict[str, Any]]", group["rules"])


def check(expression: str, seen: Exposition) -> None:
    """Check that each selector of an expression matches a series."""
    found = SELECTOR.findall(expression)
    assert found or "up{" in expression, expression
    labels: set[str] = {"le"}
    for name, matchers in found:
        series = [dict(labels) for it, labels in seen.samples if it == name]
        assert series, f"{expression}: there is no metric {name}"
        for label, operator, value in MATCHER.findall(matchers):
            wanted = re.compile(value if operator == "=~" else re.escape(value))
            series = [it for it in series if wanted.fullmatch(it.get(label, ""))]
        assert series, f"{expression}: no series of {name} has {matchers}"
        labels |= set(series[0])
    for names in GROUPING.findall(expression):
        assert {name.strip() for name in names.split(",")} <= labels, expression


async def test_dashboard_and_alerts_use_only_existing_series(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with running_scenario(fresh_redis, rabbit_server, fresh_vhost) as scenario:
        await scenario.complete("one")
        seen = await scrape(scenario.harness.redis, scenario.harness.settings)

    assert len(expressions()) > 40
    for expression in [*expressions(), *(str(rule["expr"]) for rule in alerts())]:
        check(expression, seen)


@pytest.mark.parametrize(
    "expression",
    [
        "ccarchiver_imagez_total",
        'ccarchiver_images_total{outcome="eaten"}',
        'rate(ccarchiver_stage_duration_seconds_bucket{stage=~"sent_.+"}[5m])',
        "sum by (image) (ccarchiver_images_total)",
    ],
)
async def test_series_check_rejects_a_missing_series(
    fresh_redis: PrivateRedis, expression: str
) -> None:
    settings = site(fresh_redis.port)
    async with looking_into(settings) as redis:
        seen = await scrape(redis, settings)

    with pytest.raises(AssertionError):
        check(expression, seen)


@pytest.mark.processes
def test_prometheus_parses_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": it} for number, it in enumerate(expressions())]
    path = tmp_path / "rules.yaml"
    path.write_text(
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8"
    )

    check_rules(path)


def test_dashboard_can_be_imported_and_has_the_expected_panels() -> None:
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = dashboard["panels"]
    ids = [panel["id"] for panel in panels]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    titles = " | ".join(panel["title"].lower() for panel in panels)

    assert dashboard["title"]
    assert dashboard["uid"]
    assert len(set(ids)) == len(ids)
    assert len(set(places)) == len(places), "two panels are at the same place"
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    assert {wanted for wanted in SHOWN if wanted not in titles} == set()
    variables = {f"${{{variable['name']}}}" for variable in dashboard["templating"]["list"]}
    sources = {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"}
    assert sources <= variables, "a data source of one installation exists nowhere else"


@pytest.mark.processes
def test_each_alert_fires_on_its_cause_and_not_on_a_good_night() -> None:
    assert "SUCCESS" in run_rule_tests(RULE_TESTS)

    tests = yaml.safe_load(RULE_TESTS.read_text(encoding="utf-8"))["tests"]
    cases = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in tests
        for case in test["alert_rule_test"]
    ]
    for rule in alerts():
        assert {fires for name, fires in cases if name == rule["alert"]} == {True, False}, rule[
            "alert"
        ]


def test_each_alert_describes_the_problem_and_links_to_the_runbook() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        text = (ROOT / page).read_text(encoding="utf-8")
        if "{{" in anchor:
            continue  # an error code: test_runbook checks its entry
        assert anchor in anchors(text), f"{rule['alert']}: {page} has no entry {anchor}"


@pytest.mark.processes
def test_scrape_example_is_valid_and_has_the_port_of_the_archiver() -> None:
    check_config(SCRAPE)

    [job] = yaml.safe_load(SCRAPE.read_text(encoding="utf-8"))["scrape_configs"]
    settings = Settings()
    assert job["job_name"] == "ccarchiver"
    assert job["static_configs"] == [
        {"targets": [f"{settings.status_host}:{settings.status_port}"]}
    ]
