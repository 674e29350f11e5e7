"""How each command of the documents is verified. A command that matches no line fails a test."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass


class Verification(enum.Enum):
    """How a command is verified."""

    ON_ARCHIVER = (
        "tests/integration/test_documents.py, all of them, "
        "on a running archiver that has archived an image"
    )
    ON_REDIS = "tests/docs/test_redis_commands.py, all of them, on a private Redis"
    STANDALONE = (
        "tests/docs/test_commands.py, unchanged, in an empty folder with the checkout's files"
    )
    MAKE_TARGET = (
        "make -n in tests/docs/test_commands.py: the target and its variables; "
        "CI and developers run the rest"
    )
    OWN_TEST = "a dedicated test, which is named"
    NOT_RUN = "not run, for the reason given; a shell checks its syntax"


@dataclass(frozen=True)
class Line:
    """How the commands that match a pattern are verified."""

    pattern: str
    """Regular expression for the whole command."""
    verification: Verification
    detail: str = ""
    """The dedicated test (path::name), or the reason why the command is not run."""


START_UP = "tests/docs/test_start_up.py::test_documented_start_up_and_shutdown_work"
REHEARSAL = (
    "tests/integration/test_documents.py::test_notebook_cells_follow_an_image_of_the_rehearsal"
)
SCRIPT = "tests/integration/test_documents.py::test_documented_script_follows_an_image"
COMMANDER = "tests/integration/test_documents.py::test_documented_commander_input_commands_the_csc"
BACKUP = "tests/docs/test_redis_commands.py::test_documented_backup_and_restore_work"

LINES = (
    # ---- the archiver's own commands
    Line(
        r"ccarchiver (status|doctor|image|images|logs|night|catchup|pair|deadletter|config)\b.*",
        Verification.ON_ARCHIVER,
    ),
    Line(r"curl -s http://127\.0\.0\.1:8094/.*", Verification.ON_ARCHIVER),
    Line(r"ss .*", Verification.ON_ARCHIVER),
    Line(r"df -h", Verification.STANDALONE),
    Line(
        r"grep worker\.crashed .*",
        Verification.NOT_RUN,
        "finds nothing where no worker has crashed",
    ),
    Line(r"command_ccarchiver", Verification.OWN_TEST, COMMANDER),
    Line(r"python examples/night_remote\.py .*", Verification.OWN_TEST, SCRIPT),
    Line(
        r"ccarchiver-sim-(camera|header|forwarder|controller|oods|backbone)( --.*)?",
        Verification.OWN_TEST,
        REHEARSAL,
    ),
    # ---- start-up and shutdown
    Line(r"cp deploy/ccarchiver\.env site\.env", Verification.OWN_TEST, START_UP),
    Line(r"set -a; \. (\./)?(site|ccarchiver)\.env; set \+a", Verification.OWN_TEST, START_UP),
    Line(
        r'while \[ -S "\$CCARCHIVER_RUN_DIR/supervisor\.sock" \]; do sleep 1; done',
        Verification.STANDALONE,
    ),
    Line(
        r'install -d "\$IIP_LOG_DIR" && install -d -m 700 "\$CCARCHIVER_RUN_DIR"',
        Verification.OWN_TEST,
        START_UP,
    ),
    Line(r"supervisord -c supervisord\.conf", Verification.OWN_TEST, START_UP),
    Line(
        r"supervisorctl (-c supervisord\.conf )?(status|shutdown)( ccarchiver:\w+)?",
        Verification.OWN_TEST,
        START_UP,
    ),
    Line(
        r"supervisorctl (-c supervisord\.conf )?"
        r"(restart|start|stop|tail) (ccarchiver:(\w+|\*|…)|event_listener)",
        Verification.OWN_TEST,
        START_UP,
    ),
    Line(r"run_ccarchiver_(sal|bridge|health)", Verification.OWN_TEST, START_UP),
    Line(r"site-venv/bin/ccarchiver config check", Verification.OWN_TEST, START_UP),
    Line(
        r"systemctl .*",
        Verification.NOT_RUN,
        "root, on a host under systemd; tests/deploy/test_systemd.py checks the unit",
    ),
    # ---- brokers
    Line(
        r"redis-cli -p 26379 sentinel .*",
        Verification.NOT_RUN,
        "needs a Sentinel; tests/core/test_sentinel.py runs one",
    ),
    Line(r"redis-(cli|check-rdb) .*", Verification.ON_REDIS),
    Line(r"redis-server deploy/redis\.conf .*", Verification.OWN_TEST, BACKUP),
    Line(
        r"rabbitmqctl .*",
        Verification.NOT_RUN,
        "root on the broker's host; tests/deploy/test_rabbitmq.py imports the file",
    ),
    Line(r"openssl rand -hex 32", Verification.STANDALONE),
    Line(r"read -rs PASSWORD && .*", Verification.STANDALONE),
    Line(
        r"python3 -c 'import base64, getpass.*",
        Verification.OWN_TEST,
        "tests/deploy/test_rabbitmq.py::test_archiver_user_can_do_everything_the_archiver_needs",
    ),
    # ---- developers
    Line(r"make( .*)?", Verification.MAKE_TARGET),
    Line(r"scripts/check lint", Verification.NOT_RUN, "make lint runs it, and CI with it"),
    Line(r"python -m interfaces --check", Verification.STANDALONE),
    Line(
        r"python -m interfaces",
        Verification.OWN_TEST,
        "tests/interfaces/test_definitions.py::test_regenerated_idl_has_the_same_bytes",
    ),
    Line(
        r"python -m interfaces --xml .*",
        Verification.OWN_TEST,
        "tests/interfaces/test_salxml.py::test_xml_with_all_types_becomes_idl",
    ),
    Line(r'python -c "from lsst\.ts\.idl import get_idl_dir; .*', Verification.STANDALONE),
    Line(
        r"git clone https://github\.com/lsst-ts/ts_salobj .*|echo '__path__.*|cp /tmp/ts_salobj/.*|"
        r"export PYTHONPATH=/tmp/ts_salobj/.*|"
        r'python -c "from lsst\.ts import salobj; .*',
        Verification.NOT_RUN,
        "a source tree from another site; tests/sal/test_salobj_calls.py tests what differs",
    ),
    Line(
        r"cp /tmp/idl/.*",
        Verification.NOT_RUN,
        "IDL made from files of the observatory, which are not in this project",
    ),
    Line(
        r"(\.venv/bin/python -m )?pytest tests/.*",
        Verification.NOT_RUN,
        "a part of what make test runs",
    ),
    Line(
        r"PYTHON=\S+ scripts/bootstrap",
        Verification.NOT_RUN,
        "set-up with an interpreter that may not be here",
    ),
    Line(
        r"git clone URL_OF_THIS_REPOSITORY .*",
        Verification.NOT_RUN,
        "the address is the site's own; CI begins with it",
    ),
    # ---- environments
    Line(
        r"pip install --find-links dist .*|"
        r'(share=|cp |supervisord -c )"\$(VIRTUAL_ENV/share/ccarchiver|share/.*)"( .*)?',
        Verification.OWN_TEST,
        "tests/packaging/test_distributions.py::test_wheel_installs_the_files_that_a_site_copies",
    ),
    Line(
        r"python3 -m venv \S+( && \. \S+)?|(\S+/)?pip install .*|pip freeze",
        Verification.NOT_RUN,
        "minutes and a package index; scripts/bootstrap does the same before each CI run",
    ),
    Line(r"ssh -N -L .*", Verification.NOT_RUN, "another host"),
    Line(
        r"(\.venv/bin/)?butler query-datasets .*",
        Verification.OWN_TEST,
        "tests/sim/butler/test_check.py::test_command_lists_a_row_for_each_ccd",
    ),
    Line(
        r"sudo -u postgres (createuser|createdb|psql) .*|LSST_DB_AUTH=\S+ ccarchiver-sim-oods .*",
        Verification.NOT_RUN,
        "root on the host of a database; tests/sim/test_oods_postgres.py uses a private one",
    ),
    Line(
        r"\.venv/bin/butler query-dimension-records .*",
        Verification.OWN_TEST,
        "tests/sim/butler/test_check.py::test_butler_program_lists_the_exposures",
    ),
)


def line_of(command: str) -> Line | None:
    """Return the line that matches a command, if any."""
    return next((line for line in LINES if re.fullmatch(line.pattern, command, re.DOTALL)), None)


def commands_of(verification: Verification, commands: list[str]) -> list[str]:
    """Return the commands of a list that are verified in one way."""
    return [
        command
        for command in commands
        if (line := line_of(command)) is not None and line.verification is verification
    ]
