"""What the documents take from the code: complete, and refused where the code has nothing of that name."""

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
    """Give the keys of a section and those below it, as a site file has them."""
    found = []
    for name, field in part.model_fields.items():
        kind = field.annotation
        is_section = isinstance(kind, type) and issubclass(kind, BaseModel)
        found += keys(kind) if is_section else [name.upper()]  # type: ignore[arg-type]  # mypy loses what is asked above
    return found


def test_every_setting_is_there_with_kind_and_meaning() -> None:
    rows = [line.strip("| ").split(" | ") for line in settings_lines() if line.startswith("| `")]
    assert sorted(row[0].strip("`") for row in rows) == sorted(keys(Settings))
    assert [row[0] for row in rows if row[1] == "value" or len(row[3]) < len("a meaning")] == []


def test_the_keys_of_old_files_are_marked() -> None:
    marked = {line.split("`")[1]: line.endswith("| yes |") for line in settings_lines() if line.startswith("| `")}
    assert (marked["REDIS_HOST"], marked["WFS_RAFT"], marked["SECONDS_TO_EXPIRE"]) == (True, True, True)
    assert (marked["REDIS_PORT"], marked["STALLED_AFTER"]) == (False, False)


def test_defaults_are_written_as_a_site_file_has_them() -> None:
    rows = {line.split("`")[1]: line for line in settings_lines() if line.startswith("| `")}
    assert "| `86400` |" in rows["ABANDONED_AFTER"]
    assert "| `/data/staging/oods` |" in rows["OODS_STAGING"]
    assert "| `22/0, 22/1, 22/2` |" in rows["WFS_CCD"]


def test_every_error_code_leads_to_its_entry() -> None:
    shown = [re.findall(r"\d{4}", line) for line in error_code_lines()[2:-1]]
    assert shown == [[str(int(code))] * 2 for code in ErrorCode]


def test_a_topic_has_its_fields() -> None:
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
def test_what_is_not_there_is_refused(component: str, topics: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        interface_lines(component, TopicKind.EVENT, topics)


def test_a_package_is_given_with_all_its_modules() -> None:
    headings = [line for line in api_lines("ccarchiver_health") if line.startswith("## ")]
    assert {"## ccarchiver_health.main", "## ccarchiver_health.metrics.render"} <= set(headings)
    with pytest.raises(ValueError, match="no package ccarchiver_nothing"):
        api_lines("ccarchiver_nothing")


def test_a_cell_cannot_end_its_row() -> None:
    assert table(("a",), [("x | y\nz",)])[2] == r"| x \| y z |"
