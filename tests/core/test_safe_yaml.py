"""Static check of all sources: YAML is read with a safe loader only. Peers are not trusted."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = [
    path
    for folder in ("ccarchiver_*", "interfaces", "middleware/*/src", "benchmarks", "tests")
    for top in sorted(ROOT.glob(folder))
    for path in sorted(top.rglob("*.py"))
]

SAFE_LOADERS = (["yaml.CSafeLoader"], ["yaml.SafeLoader"])
SAFE = {"CSafeLoader", "SafeLoader", "safe_load", "safe_load_all"}
NEED_A_LOADER = {
    f"yaml.{name}" for name in ("load", "load_all", "compose", "compose_all", "parse", "scan")
}


def unsafe_yaml(tree: ast.AST) -> list[int]:
    """Return the lines on which PyYAML is used without a safe loader."""
    uses = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "yaml"
    ]
    found = [
        node.lineno
        for node in uses
        if node.attr.endswith(("Loader", "_load", "_load_all")) and node.attr not in SAFE
    ]
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and node.func in uses
            and ast.unparse(node.func) in NEED_A_LOADER
        ):
            loaders = [ast.unparse(one.value) for one in node.keywords if one.arg == "Loader"]
            if loaders not in SAFE_LOADERS:
                found.append(node.lineno)
    return found


def test_sources_read_yaml_with_a_safe_loader_only() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line in unsafe_yaml(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []
    assert len(SOURCES) > 200


@pytest.mark.parametrize(
    "line",
    [
        "yaml.load(x)",
        "yaml.load(x, Loader=yaml.Loader)",
        "yaml.unsafe_load(x)",
        "yaml.full_load(x)",
        "yaml.parse(x)",
    ],
)
def test_unsafe_yaml_finds_every_other_loader(line: str) -> None:
    assert unsafe_yaml(ast.parse(line)) != []
    assert unsafe_yaml(ast.parse("yaml.load(x, Loader=yaml.CSafeLoader); yaml.safe_load(x)")) == []
