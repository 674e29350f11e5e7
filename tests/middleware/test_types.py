"""Each type name always has one class and one Cyclone type (requirement 1)."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import dds
import ddsutil
import pytest

from tests.middleware.end import End
from tests.middleware.process import ends_by_itself, read_line, start

if TYPE_CHECKING:
    from pathlib import Path


def test_every_caller_gets_the_same_class(idl: Path) -> None:
    first, second = ddsutil.parse_idl_file(idl), ddsutil.parse_idl_file(idl)
    for name in first.types:
        a, b = ddsutil.make_dds_topic_class(first, name), ddsutil.make_dds_topic_class(second, name)
        assert a is b
        assert a.type_support_class.cyclone_type() is b.type_support_class.cyclone_type()


@pytest.mark.processes
def test_memory_does_not_grow_with_more_than_32_domains() -> None:
    """With a new class for each, Cyclone's type table would double without end from the 33rd on."""
    process = start("many_domains.py", "40")
    small = int(read_line(process))
    large = int(read_line(process))
    assert ends_by_itself(process) == 0
    assert large - small < 64 * 1024, "kilobytes"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1024 * 1024


def test_too_many_variants_of_one_type_are_rejected(tmp_path: Path) -> None:
    def variant(number: int) -> ddsutil.GeneratedClassInfo:
        path = tmp_path / f"{number}.idl"
        path.write_text(f"module Odd {{\nstruct thing_0 {{\n\tlong field{number};\n\t}};\n}};\n")
        return ddsutil.make_dds_topic_class(ddsutil.parse_idl_file(path), "Odd::thing_0")

    for number in range(16):
        variant(number)
    with pytest.raises(dds.DDSException, match="another revision code"):
        variant(16)
    assert variant(3) is variant(3)


@pytest.mark.processes
def test_topic_with_a_second_type_is_rejected(idl: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.idl"
    path.write_text("module Other {\nstruct thing_1 {\n\tlong field;\n\t};\n};\n")
    other = ddsutil.make_dds_topic_class(ddsutil.parse_idl_file(path), "Other::thing_1")
    end = End(idl)
    other.register_topic(end.participant, "name")
    other.register_topic(end.participant, "name")
    parsed = ddsutil.parse_idl_file(idl)
    test_type = ddsutil.make_dds_topic_class(parsed, next(iter(parsed.types)))
    with pytest.raises(dds.DDSException, match="another type"):
        test_type.register_topic(end.participant, "name")
    end.close()
