"""The list of deployed files and the table of ports match the files and the settings."""

from __future__ import annotations

import re
from configparser import RawConfigParser
from pathlib import Path

from ccarchiver_core.config.settings import Settings

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "README.md").read_text(encoding="utf-8")


def test_readme_lists_exactly_the_files_of_the_folder() -> None:
    files = {str(path.relative_to(DEPLOY)) for path in DEPLOY.rglob("*") if path.is_file()}
    first_table = TEXT.partition("## Ports")[0]
    listed = {
        name
        for row in re.findall(r"^\| (`.*?) \|", first_table, re.MULTILINE)
        for name in row.split("`")[1::2]
    }
    assert listed == files - {"README.md"}


def test_readme_ports_are_those_of_the_settings() -> None:
    settings = Settings()
    supervisord = RawConfigParser(strict=False)
    supervisord.read(ROOT / "supervisord.conf", encoding="utf-8")
    rows = re.findall(r"^\| (TCP|UDP|`)(.*?) \|", TEXT.partition("## Ports")[2], re.MULTILINE)
    texts = [start + rest for start, rest in rows]

    assert len(texts) == 5
    assert str(settings.redis_port) in texts[0]
    assert [str(broker.port) in texts[1] for broker in settings.brokers] == [True]
    assert f"{settings.status_host}:{settings.status_port}" in texts[3]
    assert Path(supervisord["unix_http_server"]["file"]).name in texts[4]
    assert supervisord["unix_http_server"]["chmod"] == "0700"
