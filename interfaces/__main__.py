"""Command line of the IDL generator: ``python -m interfaces --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from interfaces.definition import load_definitions
from interfaces.generate import outdated, write
from interfaces.model import InterfaceError

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
DEFINITIONS = HERE / "definitions"
COMMITTED_IDL = HERE.parent / "middleware" / "ccarchiver-idl" / "idl"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m interfaces", description=__doc__)
    parser.add_argument(
        "components", nargs="*", help="components to write (default: all that are defined)"
    )
    parser.add_argument(
        "--definitions", type=Path, default=DEFINITIONS, help="folder of YAML definitions"
    )
    parser.add_argument(
        "--xml",
        type=Path,
        help="read the observatory's XML below this folder instead: SALGenerics.xml, "
        "SALSubsystems.xml, and for each component its _Commands, _Events and _Telemetry files",
    )
    parser.add_argument(
        "--xml-version", default="unknown", help="version of that XML, for the IDL's first line"
    )
    parser.add_argument("--output", type=Path, default=COMMITTED_IDL, help="folder to write to")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a file would change"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the generator and return the exit code: 0 good, 1 outdated files, 2 bad definition."""
    options = _parser().parse_args(arguments)
    try:
        if options.xml is None:
            version, components = load_definitions(options.definitions)
        else:
            from interfaces.salxml import load_xml  # noqa: PLC0415 (the usual run has no XML)

            version, components = options.xml_version, load_xml(options.xml, options.components)
    except InterfaceError as e:
        print(f"python -m interfaces: {e}", file=sys.stderr)  # noqa: T201 (a command line)
        return 2
    unknown = sorted(set(options.components) - {component.name for component in components})
    if unknown:
        print(f"python -m interfaces: not defined: {', '.join(unknown)}", file=sys.stderr)  # noqa: T201
        return 2
    if options.components:
        components = [component for component in components if component.name in options.components]
    if options.check:
        wrong = outdated(components, version, options.output)
        for path in wrong:
            print(  # noqa: T201
                f"{path} is not what the definitions give; run python -m interfaces",
                file=sys.stderr,
            )
        return 1 if wrong else 0
    for path in write(components, version, options.output):
        print(path)  # noqa: T201 (a command line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
