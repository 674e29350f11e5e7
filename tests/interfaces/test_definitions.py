"""The project's SAL definitions, their IDL, and what they must match."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import ddsutil
import pytest
from lsst.ts import idl as ts_idl
from lsst.ts import salobj

from interfaces.__main__ import COMMITTED_IDL, DEFINITIONS, main
from interfaces.definition import Generics, load_component, load_definitions
from interfaces.idl import component_idl, file_name
from interfaces.model import InterfaceError, Topic, TopicKind
from interfaces.release import Release

if TYPE_CHECKING:
    from pathlib import Path

COMPONENTS = [
    f"{telescope}{part}"
    for telescope in ("AT", "CC", "MT")
    for part in ("Archiver", "Camera", "HeaderService")
]


def test_regenerated_idl_has_the_same_bytes(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path)]) == 0
    for name in COMPONENTS:
        assert (tmp_path / file_name(name)).read_bytes() == (
            COMMITTED_IDL / file_name(name)
        ).read_bytes()
    assert sorted(path.name for path in COMMITTED_IDL.iterdir()) == sorted(
        file_name(name) for name in COMPONENTS
    )
    assert main(["--check"]) == 0


def test_installed_idl_is_the_committed_one() -> None:
    for name in COMPONENTS:
        installed = ts_idl.get_idl_dir() / file_name(name)
        assert installed.read_bytes() == (COMMITTED_IDL / file_name(name)).read_bytes()


@pytest.mark.parametrize("name", COMPONENTS)
def test_salobj_and_ddsutil_read_the_idl_alike(name: str) -> None:
    path = COMMITTED_IDL / file_name(name)
    metadata = salobj.parse_idl(name, path)
    types = ddsutil.parse_idl_file(path).types
    assert metadata.sal_version
    assert metadata.xml_version == "10.1.0"
    for sal_name, topic in metadata.topic_info.items():
        parsed = types[f"{name}::{sal_name}_{topic.version_hash}"]
        assert list(topic.field_info) == [field.name for field in parsed.fields]
        assert topic.description
        for field in parsed.fields:
            info = topic.field_info[field.name]
            assert (info.type_name, info.str_length or 0) == (field.type_name, field.bound)
            assert info.description
            assert info.units
    assert len(types) == len(metadata.topic_info)


def fields_of(name: str, topic: str) -> list[tuple[str, str, int | None]]:
    info = salobj.parse_idl(name, COMMITTED_IDL / file_name(name)).topic_info[topic].field_info
    return [(field.name, field.type_name, field.str_length) for field in info.values()]


PRIVATE = [
    ("private_revCode", "string", 8),
    ("private_sndStamp", "double", None),
    ("private_rcvStamp", "double", None),
    ("private_seqNum", "long", None),
    ("private_identity", "string", 128),
    ("private_origin", "long", None),
]
PRIORITY = ("priority", "long", None)


def test_idl_matches_the_wire_contract() -> None:
    assert fields_of("CCCamera", "logevent_startIntegration") == [
        *PRIVATE,
        ("additionalKeys", "string", None),
        ("additionalValues", "string", None),
        ("imagesInSequence", "long", None),
        ("imageName", "string", 32),
        ("imageIndex", "long", None),
        ("imageSource", "string", 2),
        ("imageController", "string", None),
        ("imageDate", "string", 8),
        ("imageNumber", "long", None),
        ("timestampAcquisitionStart", "double", None),
        ("exposureTime", "double", None),
        PRIORITY,
    ]
    assert [name for name, _, _ in fields_of("CCCamera", "logevent_endReadout")][-3:-1] == [
        "requestedExposureTime",
        "timestampEndOfReadout",
    ]
    for topic in ("logevent_imageInOODS", "logevent_imageRetrievalForArchiving"):
        assert fields_of("CCArchiver", topic) == [
            *PRIVATE,
            ("camera", "string", 256),
            ("obsid", "string", 256),
            ("raft", "string", 5),
            ("sensor", "string", 5),
            ("archiverName", "string", 256),
            ("statusCode", "long", None),
            ("description", "string", 256),
            PRIORITY,
        ]
    assert [
        field[1:] for field in fields_of("CCHeaderService", "logevent_largeFileObjectAvailable")[6:]
    ] == [
        *[("string", 256)] * 2,
        ("float", None),
        ("long", None),
        *[("string", 256)] * 3,
        ("long", None),
    ]
    assert fields_of("CCArchiver", "command_start")[6:] == [("settingsToApply", "string", 256)]
    assert fields_of("CCArchiver", "command_enable")[6:] == []
    assert fields_of("CCArchiver", "command_resetFromFault")[6:] == [("value", "boolean", None)]
    assert fields_of("CCArchiver", "ackcmd")[6:] == [
        ("ack", "long", None),
        ("error", "long", None),
        ("result", "string", 256),
        ("identity", "string", None),
        ("origin", "long", None),
        ("cmdtype", "long", None),
        ("timeout", "double", None),
    ]


@pytest.mark.parametrize("part", ["Archiver", "Camera", "HeaderService"])
@pytest.mark.parametrize("telescope", ["AT", "MT"])
def test_sister_component_has_the_same_topics_under_its_own_name(telescope: str, part: str) -> None:
    sister, model = (
        salobj.parse_idl(name, COMMITTED_IDL / file_name(name))
        for name in (f"{telescope}{part}", f"CC{part}")
    )
    assert list(sister.topic_info) == list(model.topic_info)
    for topic, info in sister.topic_info.items():
        assert fields_of(f"{telescope}{part}", topic) == fields_of(f"CC{part}", topic)
        assert info.version_hash != model.topic_info[topic].version_hash, (
            "the hashes of two components must differ"
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("component: X\nlike: CCCamera\nevents: {}", "unknown key events"),
        ("component: X\nlike: 3", "like must be the name of a component"),
        ("component: X\nlike: ATCamera", "ATCamera is itself like another"),
        ("component: X\nlike: Nonesuch", "cannot read"),
    ],
)
def test_bad_sister_definition_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    for name in ("ATCamera", "CCCamera"):
        (tmp_path / f"{name}.yaml").write_text((DEFINITIONS / f"{name}.yaml").read_text())
    path = tmp_path / "X.yaml"
    path.write_text(text)
    with pytest.raises(InterfaceError, match=message):
        load_component(path, Generics())


def test_topic_hash_depends_only_on_its_fields(tmp_path: Path) -> None:
    def codes(old: str = "", new: str = "") -> list[str]:
        path = tmp_path / "CCCamera.yaml"
        text = re.sub("(?m)^generics: .*$", "", (DEFINITIONS / "CCCamera.yaml").read_text())
        assert old in text
        path.write_text(text.replace(old, new, 1))
        component = load_component(path, Generics())
        lines = component_idl(component, "x", Release.SAL_6).splitlines()
        return [line.split()[1].rsplit("_", 1)[1] for line in lines if line.startswith("struct")]

    end, start = codes()
    assert codes("An exposure begins.", "Other words.") == [end, start]
    assert codes("units: second, ", "") == [end, start]
    changed = codes("max_length: 32", "max_length: 33")
    assert changed[0] != end
    assert changed[1] == start
    assert all(len(code) == 8 for code in (end, start))


def test_check_reports_outdated_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--output", str(tmp_path)]) == 1
    assert main(["CCCamera", "--output", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [file_name("CCCamera")]
    assert main(["CCCamera", "--check", "--output", str(tmp_path)]) == 0
    (tmp_path / file_name("CCCamera")).write_text("other")
    assert main(["CCCamera", "--check", "--output", str(tmp_path)]) == 1
    assert "run python -m interfaces" in capsys.readouterr().err
    assert main(["Nonesuch", "--output", str(tmp_path)]) == 2
    assert "not defined: Nonesuch" in capsys.readouterr().err


FIELD = "component: X\nevents: {e: {description: d, fields: {f: %s}}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "must be a mapping"),
        ("component: {", "cannot read"),
        ("events: {}", "component must be a name"),
        ("component: X\nevnts: {}", "unknown key evnts"),
        ("component: X\nevents: {e: {}}", "events, e: must be a mapping with a description"),
        ("component: X\nevents: {e: {description: d, felds: {}}}", "events, e: unknown key felds"),
        (FIELD % "{description: d}", "field f: must be a mapping with a type"),
        (FIELD % "{type: int}", "field f: the description is missing"),
        (FIELD % "{type: int, description: d, unit: s}", "field f: unknown key unit"),
        (FIELD % "{type: integer, description: d}", "unknown type 'integer'; known are boolean"),
        (FIELD % "{type: int, description: d, max_length: 3}", "only a string has a max_length"),
        (FIELD % "{type: int, description: d, count: 0}", "at least 1"),
        (FIELD % "{type: string, description: d, count: 2}", "no arrays of strings"),
        (FIELD % "{type: int, description: d, count: two}", "must be whole numbers"),
        (
            (
                "component: X\n"
                "events: {e: {description: d, fields: {a-b: {type: int, description: d}}}}"
            ),
            "a-b",
        ),
    ],
)
def test_bad_definition_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "X.yaml"
    path.write_text(text)
    with pytest.raises(InterfaceError, match=message) as caught:
        load_component(path, Generics())
    assert str(path) in str(caught.value)


def test_duplicate_topic_name_is_rejected(tmp_path: Path) -> None:
    generics = Generics(((Topic("summaryState", TopicKind.EVENT), "csc"),))
    path = tmp_path / "X.yaml"
    path.write_text("component: X\ngenerics: [csc]\nevents: {summaryState: {description: d}}")
    with pytest.raises(InterfaceError, match="logevent_summaryState is there twice"):
        load_component(path, generics)


GENERICS = Generics(
    (
        (Topic("heartbeat", TopicKind.EVENT), "mandatory"),
        (Topic("summaryState", TopicKind.EVENT), "csc"),
        (Topic("enterControl", TopicKind.COMMAND), None),
    )
)


@pytest.mark.parametrize(
    ("names", "topics"),
    [
        ("[]", ["heartbeat"]),
        ("[csc]", ["heartbeat", "summaryState"]),
        ("[command_enterControl]", ["heartbeat", "enterControl"]),
    ],
)
def test_component_has_the_generic_topics_that_it_names(
    tmp_path: Path, names: str, topics: list[str]
) -> None:
    path = tmp_path / "X.yaml"
    path.write_text(f"component: X\ngenerics: {names}")
    assert [topic.name for topic in load_component(path, GENERICS).topics] == topics


@pytest.mark.parametrize("names", ["true", "[cscs]", "csc"])
def test_unknown_generic_topics_are_rejected(tmp_path: Path, names: str) -> None:
    path = tmp_path / "X.yaml"
    path.write_text(f"component: X\ngenerics: {names}")
    with pytest.raises(InterfaceError, match="generics must be a list"):
        load_component(path, GENERICS)


@pytest.mark.parametrize("text", ["version: 1 0", "version: 10", "events: {}"])
def test_version_with_several_words_is_rejected(tmp_path: Path, text: str) -> None:
    (tmp_path / "generics.yaml").write_text(text)
    with pytest.raises(InterfaceError, match="version must be one word"):
        load_definitions(tmp_path)
