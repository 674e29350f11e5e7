"""Command line of the IDL generator: ``python -m interfaces --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from interfaces.definition import load_definitions
from interfaces.generate import outdated, write
from interfaces.model import InterfaceError
from interfaces.release import Release, release_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interfaces.model import Component

HERE = Path(__file__).resolve().parent
DEFINITIONS = HERE / "definitions"
COMMITTED_IDL = HERE.parent / "middleware" / "ccarchiver-idl" / "idl"
BAD_DEFINITION = 2
"""Exit code after an error in a definition; the good ones are written all the same."""


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
    parser.add_argument(
        "--sal",
        choices=[release.value for release in Release],
        help="major version of SAL whose layout the IDL has (default: 7 from XML 12 on, before 6)",
    )
    parser.add_argument("--output", type=Path, default=COMMITTED_IDL, help="folder to write to")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a file would change"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the generator and return the exit code: 0 good, 1 outdated files, 2 bad definition.

    A bad definition of one component in the XML does not keep the others from being written.
    """
    options = _parser().parse_args(arguments)
    errors: Sequence[InterfaceError] = ()
    components: Sequence[Component]
    try:
        if options.xml is None:
            version, components = load_definitions(options.definitions)
        else:
            from interfaces.salxml import read_xml  # noqa: PLC0415 (the usual run has no XML)

            found = read_xml(options.xml, options.components)
            version, components, errors = options.xml_version, found.components, found.errors
    except InterfaceError as e:
        return _report(e)
    for error in errors:
        _report(error)
    known = {component.name for component in components}
    unknown = sorted(set(options.components) - known) if not errors else []
    if unknown:
        return _report(f"not defined: {', '.join(unknown)}")
    if options.components:
        components = [component for component in components if component.name in options.components]
    release = release_of(version) if options.sal is None else Release(options.sal)
    if options.check:
        wrong = outdated(components, version, release, options.output)
        for path in wrong:
            print(  # noqa: T201
                f"{path} is not what the definitions give; run python -m interfaces",
                file=sys.stderr,
            )
        return 1 if wrong else 0
    for path in write(components, version, release, options.output):
        print(path)  # noqa: T201 (a command line)
    return BAD_DEFINITION if errors else 0


def _report(problem: object) -> int:
    print(f"python -m interfaces: {problem}", file=sys.stderr)  # noqa: T201 (a command line)
    return BAD_DEFINITION


if __name__ == "__main__":
    sys.exit(main())
