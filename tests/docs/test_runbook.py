"""The runbook: one entry for each error code and alarm, no other entries, and valid links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.status import alarms
from ccarchiver_core.status.alarms import ALARM_NAMES, AlarmName, fault_alarm
from ccarchiver_core.store.stage_durations import Stage
from tests.health.exposition import scrape
from tests.health.metrics_scenario import running_scenario
from tests.support.markdown import blocks, headings, links, prose, rows, sections

if TYPE_CHECKING:
    from ccarchiver_sim.testbed.brokers import PrivateRabbit, PrivateRedis

ROOT = Path(__file__).parent.parent.parent
RUNBOOK = ROOT / "docs" / "operations"
PAGES = sorted(RUNBOOK.glob("*.md"))


def page(name: str) -> str:
    return (RUNBOOK / name).read_text(encoding="utf-8")


def entries(name: str) -> dict[str, str]:
    """Return the entries of a page of the runbook by title."""
    return sections(page(name), 2)


def test_each_error_code_has_one_entry_and_no_entry_has_another_code() -> None:
    assert sorted(headings(page("errors.md"), 2)) == sorted(str(int(code)) for code in ErrorCode)


def test_each_alarm_has_one_entry_and_no_entry_has_another_name() -> None:
    assert sorted(headings(page("alarms.md"), 2)) == sorted(AlarmName)
    faults = set(ALARM_NAMES) - set(AlarmName)
    assert faults == {fault_alarm(code) for code in ErrorCode}, (
        "the entries of these alarms are in errors.md"
    )


@pytest.mark.parametrize("name", ["errors.md", "alarms.md"])
def test_each_entry_shows_the_symptom_and_the_remedy(name: str) -> None:
    for title, text in entries(name).items():
        outputs = [block.text for block in blocks(text) if block.kind == "console"]
        assert any("$ ccarchiver status" in output for output in outputs), (
            f"{title}: no output of status"
        )
        assert len(prose(text).split()) > 30, f"{title}: no meaning and remedy"


def test_entry_of_each_code_quotes_that_fault() -> None:
    for code, text in entries("errors.md").items():
        assert f"the CSC is in FAULT with {code}:" in text


def test_list_of_alarms_has_their_severities() -> None:
    source = Path(alarms.__file__).read_text(encoding="utf-8")
    made = {
        AlarmName[name].value: severity
        for severity, name in re.findall(r"_(critical|warning)\(\s*AlarmName\.(\w+)", source)
    }
    listed = {
        row[0].split("]")[0].strip("["): row[1]
        for row in rows(page("alarms.md"))
        if row[0].startswith("[")
    }
    assert set(made) == set(AlarmName)
    assert listed == made


async def test_list_of_metrics_matches_the_exposition(
    fresh_redis: PrivateRedis, rabbit_server: PrivateRabbit, fresh_vhost: str
) -> None:
    async with running_scenario(fresh_redis, rabbit_server, fresh_vhost) as scenario:
        seen = await scrape(scenario.harness.redis, scenario.harness.settings)
    help_texts = dict(re.findall(r"^# HELP (\w+) (.*)$", seen.body.decode(), re.MULTILINE))
    listed = {
        row[0].strip("`"): (sorted(re.findall(r"`(\w+)`", row[1])), row[2])
        for row in rows(page("metrics.md"))
        if row[0].startswith("`ccarchiver_")
    }

    assert {name: text for name, (_, text) in listed.items()} == help_texts
    for name, (labels, _) in listed.items():
        series = [dict(it) for sample, it in seen.samples if sample in (name, f"{name}_count")]
        assert series, name
        assert all(sorted(it) == labels for it in series), name


def test_each_measured_stage_is_explained() -> None:
    explained = [
        row[0].strip("`") for row in rows(page("metrics.md")) if row[0].strip("`") in set(Stage)
    ]
    assert explained == [stage.value for stage in Stage]


def test_operations_index_links_to_every_page() -> None:
    linked = {to for to, _ in links(page("index.md"))}
    assert linked == {path.name for path in PAGES} - {"index.md"}
