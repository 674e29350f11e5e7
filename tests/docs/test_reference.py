"""Pages generated from the code: complete, and an error for an unknown name."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from ccarchiver_core.base.error_codes import ErrorCode
from ccarchiver_core.config.settings import Settings
from docs._ext.reference.api import api_lines
from docs._ext.reference.error_codes import error_code_lines
from docs._ext.reference.interface import interface_lines
from docs._ext.reference.markdown import table
from docs._ext.reference.settings import settings_lines
from interfaces.model import TopicKind


def keys(part: type[BaseModel]) -> list[str]:
    """Return the keys of a section and its subsections, as in a site file."""
    found = []
    for name, field in part.model_fields.items():
        kind = field.annotation
        is_section = isinstance(kind, type) and issubclass(kind, BaseModel)
        found += keys(kind) if is_section else [name.upper()]  # type: ignore[arg-type]  # mypy does not narrow the type
    return found


def test_every_setting_is_listed_with_kind_and_meaning() -> None:
    rows = [line.strip("| ").split(" | ") for line in settings_lines() if line.startswith("| `")]
    assert sorted(row[0].strip("`") for row in rows) == sorted(keys(Settings))
    assert [row[0] for row in rows if row[1] == "value" or len(row[3]) < len("a meaning")] == []


def test_keys_of_old_site_files_are_marked() -> None:
    marked = {
        line.split("`")[1]: line.endswith("| yes |")
        for line in settings_lines()
        if line.startswith("| `")
    }
    assert (marked["REDIS_HOST"], marked["WFS_RAFT"], marked["SECONDS_TO_EXPIRE"]) == (
        True,
        True,
        True,
    )
    assert (marked["REDIS_PORT"], marked["STALLED_AFTER"]) == (False, False)


def test_defaults_are_written_as_in_a_site_file() -> None:
    rows = {line.split("`")[1]: line for line in settings_lines() if line.startswith("| `")}
    assert "| `86400` |" in rows["ABANDONED_AFTER"]
    assert "| `/data/staging/oods` |" in rows["OODS_STAGING"]
    assert "| `22/0, 22/1, 22/2` |" in rows["WFS_CCD"]


def test_every_error_code_links_to_its_entry() -> None:
    shown = [re.findall(r"\d{4}", line) for line in error_code_lines()[2:-1]]
    assert shown == [[str(int(code))] * 2 for code in ErrorCode]


def test_topic_table_lists_the_fields() -> None:
    lines = interface_lines("CCArchiver", TopicKind.EVENT, ["imageInOODS"])
    assert lines[0] == "### imageInOODS"
    assert any(line.startswith("| `raft` | string, up to 5 characters |") for line in lines)


@pytest.mark.parametrize(
    ("component", "topics", "message"),
    [
        ("CCArchiver", ["imageInOods"], "CCArchiver has no event imageInOods"),
        ("NoArchiver", [], "no SAL component 'NoArchiver'; there are "),
    ],
)
def test_reference_to_an_unknown_component_or_topic_is_an_error(
    component: str, topics: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        interface_lines(component, TopicKind.EVENT, topics)


def test_package_reference_contains_all_its_modules() -> None:
    headings = [line for line in api_lines("ccarchiver_health") if line.startswith("## ")]
    assert {"## ccarchiver_health.main", "## ccarchiver_health.metrics.render"} <= set(headings)
    with pytest.raises(ValueError, match="no package ccarchiver_nothing"):
        api_lines("ccarchiver_nothing")


def test_pipe_in_a_table_cell_is_escaped() -> None:
    assert table(("a",), [("x | y\nz",)])[2] == r"| x \| y z |"
