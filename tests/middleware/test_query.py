"""Query conditions (requirement 2)."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING

import dds
import ddsutil
import pytest
from ts_dds_cyclone import native
from ts_dds_cyclone.query import compile_query

from tests.middleware.end import READ_STATES, End

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.middleware.process import Peer

pytestmark = pytest.mark.processes

EVENT, ACKCMD = "logevent_scalars", "ackcmd"
BURST = 20_000


def test_query_reads_only_the_selected_index(idl: Path, peer: Callable[[], Peer]) -> None:
    writer = peer()
    writer.ask("writer", EVENT)
    for index in (1, 2, 3):
        writer.ask("write_many", EVENT, 100 * index, 10, index)
    end = End(idl)
    end.reader(EVENT, "TestID = 2")
    assert end.settle(EVENT)
    assert end.numbers(EVENT) == list(range(200, 210))
    end.close()


def test_query_accepts_several_terms_and_strings(idl: Path, peer: Callable[[], Peer]) -> None:
    """Use the query of salobj for acknowledgements: origin is a number, identity a string."""
    writer, end = peer(), End(idl)
    end.reader(ACKCMD, "TestID = 1 AND origin = 5 AND identity = 'me'")
    writer.ask("writer", ACKCMD)
    assert writer.ask("matched", ACKCMD)
    for number, (index, origin, identity) in enumerate(
        [(2, 5, "me"), (1, 6, "me"), (1, 5, "you"), (1, 5, "me")]
    ):
        values = {"TestID": index, "origin": origin, "identity": identity, "private_seqNum": number}
        writer.ask("write", ACKCMD, values)
    assert end.collect(ACKCMD, 1) == [3]
    end.close()


def test_filtered_reading_at_full_speed_does_not_block(idl: Path, peer: Callable[[], Peer]) -> None:
    """A filter in Python inside Cyclone would deadlock here within two seconds."""
    writer, end = peer(), End(idl)
    for topic in ("scalars", "arrays"):
        end.reader(topic, "TestID = 1 AND private_seqNum = 19999")
        end.writer(topic)
        writer.ask("writer", topic)
        assert writer.ask("matched", topic)
    writer.tell("write_many", "scalars", 0, BURST)
    for number in range(0, BURST, 100):
        end.write_many("arrays", number, 100)
        end.numbers("arrays")
        end.numbers("scalars")
    writer.answer()
    end.close()


def test_no_callback_is_passed_to_cyclone() -> None:
    """Check that the library gets no listener and no filter function."""
    names = {
        node.value
        for node in ast.walk(ast.parse(inspect.getsource(native)))
        if isinstance(node, ast.Constant)
    }
    functions = {name for name in names if isinstance(name, str) and name.startswith("dds_")}
    assert "dds_create_readcondition" in functions
    assert not {
        name for name in functions if "listener" in name or "query" in name or "filter" in name
    }
    assert "CFUNCTYPE" not in inspect.getsource(native)


@pytest.mark.parametrize(
    "expression",
    ["", "TestID", "TestID > 1", "nonesuch = 1", "TestID = 1 OR TestID = 2", "TestID = 1 AND"],
)
def test_bad_query_expression_is_rejected(idl: Path, expression: str) -> None:
    topic_type = next(iter(ddsutil.parse_idl_file(idl).types.values()))
    with pytest.raises(dds.DDSException, match=r"field = value"):
        compile_query(expression, (), topic_type)


def test_query_parameters_are_substituted(idl: Path) -> None:
    end = End(idl)
    end.reader(EVENT)
    reader = end.readers[EVENT]
    condition = reader.create_querycondition(
        READ_STATES, "TestID = %0 AND string0 = %1", ["2", "'a'"]
    )
    assert condition.query.accepts_data is not None
    with pytest.raises(dds.DDSException, match="no parameter %1"):
        reader.create_querycondition(READ_STATES, "TestID = %1", ["2"])
    end.close()
