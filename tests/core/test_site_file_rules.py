"""Each rule of the site file has a bad file that breaks it. The rules are read from the code."""

from __future__ import annotations

import ast
import inspect
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import pytest
import yaml
from annotated_types import MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    ValidationError,
)

from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config import (
    addresses,
    settings,
    site_file,
    site_schema,
    site_sections,
    value_types,
    yaml_tree,
)
from ccarchiver_core.config.settings import Settings, load_settings
from ccarchiver_core.config.value_types import Hidden
from tests.core.redis_helpers import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from pydantic.fields import FieldInfo

BAD = sorted((DATA / "config").glob("bad_*.yaml"))
GOOD = sorted((DATA / "config").glob("good_*.yaml"))

MODULES = (settings, site_schema, site_sections, site_file, value_types, addresses, yaml_tree)
"""The modules with the rules."""

Place = tuple[str, int]
"""File and line of a `raise`."""

BROKEN_BY: dict[str, object] = {
    "_check_queue": "q" * 256,
    "_check_login": "two words",
    "_check_host": "one;two",
    "_check_absolute": "not/absolute",
    "_check_component": "../up",
    "_check_header_template": "http://192.0.2.1/{image}",
    "_raft": [[]],
    "check_broker_addresses": "nowhere",
    "check_sentinel": "nowhere",
    "check_server": "user:password@host",
}
"""A rejected value for each function that checks one. `HELPERS` only convert a value."""

HELPERS = {"to_list", "join_addresses"}


# ---- every `raise` is reached by a bad file


def raises() -> dict[Place, str]:
    """Return the position of each `raise` of an error of the rules, with its statement."""
    found = {}
    for module in MODULES:
        path = Path(inspect.getfile(module))
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Raise) and node.exc is not None:
                found[str(path), node.lineno] = (
                    f"{path.name}:{node.lineno}: {ast.get_source_segment(text, node)}"
                )
    return found


def reached(path: Path, *, is_old: bool = False) -> Iterator[Place]:
    """Return the position of each `raise` that loading a site file executes."""
    with pytest.raises(ConfigError) as caught:
        load_settings(path, is_old=is_old)
    yield from _places(caught.value.__traceback__)
    if isinstance(caught.value.__cause__, yaml.YAMLError):
        yield from _places(caught.value.__cause__.__traceback__)
    if isinstance(problems := caught.value.__context__, ValidationError):
        for problem in problems.errors():
            if problem["type"] == "value_error":
                yield from _places(problem["ctx"]["error"].__traceback__)


def _places(trace: TracebackType | None) -> Iterator[Place]:
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


def test_each_raise_of_the_settings_is_reached_by_a_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {place for path in BAD for place in reached(path)}
    not_text = tmp_path / "not_text.yaml"
    not_text.write_bytes(b"\xff\xfe")
    for other in (not_text, tmp_path / "missing.yaml", tmp_path):
        seen |= set(reached(other))
    two_names = tmp_path / "two_names.yaml"
    two_names.write_text("ROOT:\n  HUNG_AFTER: 45\n  WATCHDOG_TIMEOUT: 30\n", encoding="utf-8")
    seen |= set(reached(two_names, is_old=True))
    monkeypatch.delenv("IIP_CONFIG_DIR", raising=False)
    with pytest.raises(ConfigError) as caught:
        settings.settings_path()
    seen |= set(_places(caught.value.__traceback__))

    missed = [statement for place, statement in raises().items() if place not in seen]
    assert missed == [], "add a tests/data/config/bad_….yaml for each of these"


def test_raise_that_no_bad_file_reaches_is_found() -> None:
    """The test above can fail: without the only bad file of a rule, it finds the statement."""
    one = DATA / "config" / "bad_abandoned_before_stalled.yaml"
    seen = {place for path in BAD if path != one for place in reached(path)}
    missed = [
        statement for place, statement in raises().items() if place in set(reached(one)) - seen
    ]
    assert len(missed) == 1


# ---- every constraint of every key


def keys(
    part: type[BaseModel] = Settings, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Return the path and the definition of each key."""
    for name, field in part.model_fields.items():
        path = (*above, name.upper())
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, path)
        else:
            yield path, field


def broken(field: FieldInfo) -> Iterator[tuple[str, object]]:
    """Return the name of each rule of a key, and a value that breaks it."""
    origin = get_origin(field.annotation)
    yield "type", 1 if origin is dict else {"no": "such value"}
    if field.annotation is bool:
        yield "bool", "perhaps"
    if origin is Literal:
        assert "neither" not in get_args(field.annotation)
        yield "literal", "neither"
    for rule in field.metadata:
        if isinstance(rule, MinLen):
            yield "min_length", [] if origin is tuple else ""
        elif isinstance(rule, AfterValidator | BeforeValidator | PlainValidator):
            name = rule.func.__name__
            if name not in HELPERS:
                yield name, BROKEN_BY[name]
        elif not isinstance(rule, PlainSerializer | Hidden):
            yield beyond(rule)


def beyond(rule: object) -> tuple[str, object]:
    """Return the name of a numeric bound, and a number beyond it."""
    for name, offset in (("gt", 0), ("ge", -1), ("lt", 0), ("le", 1)):
        if (bound := getattr(rule, name, None)) is not None:
            return name, bound + offset
    if getattr(rule, "allow_inf_nan", None) is False:
        return "finite", math.inf
    raise AssertionError(f"no value is known that breaks {rule!r}: add one here, and a bad file")


RULES = [
    pytest.param(path, value, id=f"{'.'.join(path)}-{name}")
    for path, field in keys()
    for name, value in broken(field)
]


def written(path: tuple[str, ...], value: object, folder: Path) -> Path:
    """Write a site file with one key."""
    root: Any = value
    for name in reversed(path):
        root = {name: root}
    file = folder / "site.yaml"
    file.write_text(yaml.safe_dump({"ROOT": root}), encoding="utf-8")
    return file


@pytest.mark.parametrize(("path", "value"), RULES)
def test_each_violated_constraint_is_reported_with_its_line(
    path: tuple[str, ...], value: object, tmp_path: Path
) -> None:
    file = written(path, value, tmp_path)

    with pytest.raises(ConfigError) as caught:
        load_settings(file)

    [line] = str(caught.value).splitlines()
    where, _, problem = line.partition(": ")
    assert int(where.removeprefix(f"{file}:")) >= 1 + len(path)
    assert problem.startswith(f"ROOT.{'.'.join(path)}")


def test_each_kind_of_constraint_has_a_bad_file() -> None:
    def kinds(path: Path) -> set[str]:
        with pytest.raises(ConfigError) as caught:
            load_settings(path)
        problems = caught.value.__context__
        return (
            {problem["type"] for problem in problems.errors()}
            if isinstance(problems, ValidationError)
            else set()
        )

    of_files = set().union(*(kinds(path) for path in BAD))
    of_keys = set[str]()
    for parameter in RULES:
        path, value = parameter.values
        root: Any = value
        for name in reversed(path):  # type: ignore[call-overload]  # pytest keeps no types of its parameters
            root = {name: root}
        with pytest.raises(ValidationError) as wrong:
            Settings.model_validate(root)
        of_keys |= {problem["type"] for problem in wrong.value.errors()}
    # bad_wrong_type.yaml covers all values of a wrong type.
    assert {kind for kind in of_keys if not kind.endswith("_type")} - of_files == set()


def test_each_bad_file_declares_its_error_and_breaks_one_rule() -> None:
    for path in BAD:
        assert path.read_text(encoding="utf-8").startswith("# expect: "), path
        with pytest.raises(ConfigError) as caught:
            load_settings(path)
        assert len(str(caught.value).splitlines()) == 1, f"{path.name} breaks more than one rule"
    assert len(GOOD) >= 4
