"""How it is known that each command of the documents is right. A command that matches no line here fails a test."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass


class Way(enum.Enum):
    """Who runs a command."""

    AT_WORK = "tests/integration/test_documents.py, all of them, beside an archiver that has archived an image"
    AT_REDIS = "tests/docs/test_redis_commands.py, all of them, on a Redis of their own"
    ALONE = "tests/docs/test_commands.py, as it stands, in an empty folder with the checkout's files in it"
    TARGET = "make -n in tests/docs/test_commands.py: the target and its variables; CI and developers run the rest"
    OWN = "a test of its own, which is named"
    ELSEWHERE = "nobody here, for the reason given; a shell reads it"


@dataclass(frozen=True)
class Line:
    """What is known of some commands."""

    pattern: str
    """Regular expression for the whole command."""
    way: Way
    why: str = ""
    """The test of its own (path::name), or the reason why nobody runs it here."""


START_UP = "tests/docs/test_start_up.py::test_the_workers_are_started_and_stopped_as_the_page_says"
REHEARSAL = "tests/integration/test_documents.py::test_the_notebooks_cells_follow_an_image_of_the_rehearsal"
SCRIPT = "tests/integration/test_documents.py::test_the_script_follows_an_image"
COMMANDER = "tests/integration/test_documents.py::test_what_the_page_types_commands_the_csc"
BACKUP = "tests/docs/test_redis_commands.py::test_a_backup_is_made_and_put_back_as_the_page_says"

LINES = (
    # ---- the archiver's own commands
    Line(r"ccarchiver (status|doctor|image|images|logs|night|pair|deadletter|config)\b.*", Way.AT_WORK),
    Line(r"curl -s http://127\.0\.0\.1:8094/.*", Way.AT_WORK),
    Line(r"ss .*", Way.AT_WORK),
    Line(r"df -h", Way.ALONE),
    Line(r"grep worker\.crashed .*", Way.ELSEWHERE, "finds nothing where no worker has crashed"),
    Line(r"command_ccarchiver", Way.OWN, COMMANDER),
    Line(r"python examples/night_remote\.py .*", Way.OWN, SCRIPT),
    Line(r"ccarchiver-sim-(camera|header|forwarder|controller|oods)( --.*)?", Way.OWN, REHEARSAL),
    # ---- start-up and shutdown
    Line(r"cp deploy/ccarchiver\.env site\.env", Way.OWN, START_UP),
    Line(r"set -a; \. (\./)?(site|ccarchiver)\.env; set \+a", Way.OWN, START_UP),
    Line(r'while \[ -S "\$CCARCHIVER_RUN_DIR/supervisor\.sock" \]; do sleep 1; done', Way.ALONE),
    Line(r'install -d "\$IIP_LOG_DIR" && install -d -m 700 "\$CCARCHIVER_RUN_DIR"', Way.OWN, START_UP),
    Line(r"supervisord -c supervisord\.conf", Way.OWN, START_UP),
    Line(r"supervisorctl (-c supervisord\.conf )?(status|shutdown)( ccarchiver:\w+)?", Way.OWN, START_UP),
    Line(
        r"supervisorctl (-c supervisord\.conf )?(restart|start|stop|tail) (ccarchiver:(\w+|\*|…)|watch)",
        Way.OWN,
        START_UP,
    ),
    Line(r"run_ccarchiver_(sal|bridge|health)", Way.OWN, START_UP),
    Line(r"site-venv/bin/ccarchiver config check", Way.OWN, START_UP),
    Line(r"systemctl .*", Way.ELSEWHERE, "root, on a host under systemd; tests/deploy/test_systemd.py holds the unit"),
    # ---- brokers
    Line(
        r"redis-cli -p 26379 sentinel .*", Way.ELSEWHERE, "a Sentinel's question; tests/core/test_sentinel.py has one"
    ),
    Line(r"redis-(cli|check-rdb) .*", Way.AT_REDIS),
    Line(r"redis-server deploy/redis\.conf .*", Way.OWN, BACKUP),
    Line(r"rabbitmqctl .*", Way.ELSEWHERE, "root on the broker's host; tests/deploy/test_rabbitmq.py imports the file"),
    Line(r"openssl rand -hex 32", Way.ALONE),
    Line(r"read -rs PASSWORD && .*", Way.ALONE),
    Line(
        r"python3 -c 'import base64, getpass.*",
        Way.OWN,
        "tests/deploy/test_rabbitmq.py::test_the_archiver_can_do_all_it_does",
    ),
    # ---- developers
    Line(r"make( .*)?", Way.TARGET),
    Line(r"python -m interfaces --check", Way.ALONE),
    Line(
        r"python -m interfaces", Way.OWN, "tests/interfaces/test_definitions.py::test_regenerating_gives_the_same_bytes"
    ),
    Line(r"python -m interfaces --xml .*", Way.OWN, "tests/interfaces/test_salxml.py::test_all_types"),
    Line(r"cp /tmp/idl/.*", Way.ELSEWHERE, "IDL made from files of the observatory, which are not in this project"),
    Line(r"(\.venv/bin/python -m )?pytest tests/.*", Way.ELSEWHERE, "a part of what make test runs"),
    Line(r"PYTHON=\S+ scripts/bootstrap", Way.ELSEWHERE, "set-up with an interpreter that may not be here"),
    Line(r"git clone … .*", Way.ELSEWHERE, "the address is the site's own; CI begins with it"),
    # ---- environments
    Line(
        r"pip install --find-links dist .*|"
        r'(share=|cp |supervisord -c )"\$(VIRTUAL_ENV/share/ccarchiver|share/.*)"( .*)?',
        Way.OWN,
        "tests/packaging/test_distributions.py::test_what_a_site_copies_from_comes_with_it",
    ),
    Line(
        r"python3 -m venv \S+( && \. \S+)?|(\S+/)?pip install .*|pip freeze",
        Way.ELSEWHERE,
        "minutes and a package index; scripts/bootstrap does the same before each CI run",
    ),
    Line(r"ssh -N -L .*", Way.ELSEWHERE, "another host"),
    Line(
        r"sqlite3 -readonly .*",
        Way.ELSEWHERE,
        "set-up does not install the program",
    ),
)


def line_of(command: str) -> Line | None:
    """Give what is known of a command."""
    return next((line for line in LINES if re.fullmatch(line.pattern, command, re.DOTALL)), None)


def commands_of(way: Way, commands: list[str]) -> list[str]:
    """Give those commands of a list that go a way."""
    return [command for command in commands if (line := line_of(command)) is not None and line.way is way]
