"""IDL generated from the observatory's XML."""

from __future__ import annotations

import shutil
from pathlib import Path

import ddsutil
import pytest
from lsst.ts import salobj

from interfaces.__main__ import main
from interfaces.declaration import declaration
from interfaces.idl import component_idl
from interfaces.model import Component, Constant, Field, InterfaceError, Topic, TopicKind
from interfaces.release import Release
from interfaces.salxml import load_xml

XML = Path(__file__).parent / "data" / "xml"
IDL_TYPES = {
    "boolean0": "boolean",
    "byte0": "octet",
    "short0": "short",
    "int0": "long",
    "long0": "long",
    "longLong0": "long long",
    "unsignedShort0": "unsigned short",
    "unsignedInt0": "unsigned long",
    "unsignedLong0": "unsigned long",
    "float0": "float",
    "double0": "double",
}


@pytest.fixture
def xml(tmp_path: Path) -> Path:
    """Return a copy of the XML files that a test can change."""
    return Path(shutil.copytree(XML, tmp_path / "xml"))


def change(folder: Path, name: str, old: str, new: str) -> None:
    (path,) = folder.rglob(name)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def names(component: Component) -> set[str]:
    return {topic.sal_name for topic in component.topics}


def test_xml_with_all_types_becomes_idl(tmp_path: Path) -> None:
    assert (
        main(["Test", "--xml", str(XML), "--xml-version", "10.1.0", "--output", str(tmp_path)]) == 0
    )
    (path,) = tmp_path.iterdir()
    metadata = salobj.parse_idl("Test", path)
    assert metadata.xml_version == "10.1.0"
    for topic, length in (("scalars", None), ("logevent_arrays", 5), ("command_setArrays", 5)):
        info = metadata.topic_info[topic].field_info
        assert next(iter(info)) == "TestID"
        assert {name: info[name].type_name for name in IDL_TYPES} == IDL_TYPES
        assert {info[name].array_length for name in IDL_TYPES} == {length}
    assert metadata.topic_info["scalars"].field_info["string0"].str_length == 20
    assert metadata.topic_info["logevent_errorCode"].field_info["errorReport"].str_length is None
    for topic_type in ddsutil.parse_idl_file(path).types.values():
        assert topic_type.keys == ("TestID",)


def test_enumerations_become_constants_after_a_topic() -> None:
    (component,) = load_xml(XML)
    (scalars,) = (t for t in component.topics if t.sal_name == "logevent_scalars")
    assert scalars.constants == (
        Constant("scalars_Int0ValueEnum_Zero", "0"),
        Constant("scalars_Int0ValueEnum_Two", "2"),
        Constant("scalars_Int0ValueEnum_Four", "04"),
        Constant("scalars_Int0ValueEnum_Five", "0x05"),
        Constant("Test_shared_Mood_Calm", "1"),
        Constant("Test_shared_Mood_Cross", "2"),
        Constant("Test_shared_Mood_Sleepy", "7"),
        Constant("Test_shared_Mood_Asleep", "8"),
    )
    text = component_idl(component, "x", Release.SAL_6)
    assert text.count("\t const long Test_shared_Mood_Asleep=8;\n") == 1
    assert "\t const long scalars_Int0ValueEnum_Five=0x05;\n" in text
    assert "\t const long long Test_shared_Mood_Asleep=8;\n" in component_idl(
        component, "x", Release.SAL_7
    )


def test_indices_become_constants_after_the_last_topic_of_the_first_file() -> None:
    (component,) = load_xml(XML)
    having = [
        topic.sal_name
        for topic in component.topics
        if Constant("indexEnumeration_any", "1") in topic.constants
    ]
    assert having == ["arrays"]


def test_component_without_own_files_has_the_indices_after_a_generic_topic(xml: Path) -> None:
    shutil.rmtree(xml / "Test")
    (component,) = load_xml(xml)
    having = [topic.sal_name for topic in component.topics if topic.constants]
    assert having == [component.topics[-1].sal_name]


def test_strings_with_a_count_are_no_arrays(xml: Path) -> None:
    change(
        xml,
        "Test_Commands.xml",
        "<IDL_Size>20</IDL_Size>\n      <Units>unitless</Units>\n      <Count>1</Count>",
        "<Units>unitless</Units>\n      <Count>9</Count>",
    )
    (component,) = load_xml(xml)
    (topic,) = (t for t in component.topics if t.sal_name == "command_setScalars")
    (field,) = (f for f in topic.fields if f.name == "string0")
    assert declaration(field) == "string\tstring0"


def test_item_with_count_1_can_be_an_array(xml: Path) -> None:
    path = xml / "Test" / "Test_Telemetry.xml"
    text = path.read_text()
    mark = "<EFDB_Name>int0</EFDB_Name>"
    path.write_text(text.replace(mark, f"{mark}\n<IsJavaArray/>", 1))
    (component,) = load_xml(xml)
    (topic,) = (t for t in component.topics if t.sal_name == "scalars")
    declarations = [declaration(field) for field in topic.fields]
    assert "long\tint0[1]" in declarations
    assert "long\tlong0" in declarations


@pytest.mark.parametrize(
    ("version", "index", "result", "has_priority"),
    [("11.1.1", "TestID", "string<256>", True), ("12.0.0", "salIndex", "string", False)],
)
def test_layout_is_that_of_the_sal_release(
    tmp_path: Path, version: str, index: str, result: str, *, has_priority: bool
) -> None:
    assert main(["--xml", str(XML), "--xml-version", version, "--output", str(tmp_path)]) == 0
    (path,) = tmp_path.iterdir()
    types = ddsutil.parse_idl_file(path).types
    by_name = {name.rsplit("_", 1)[0]: one for name, one in types.items()}
    event = [field.name for field in by_name["Test::logevent_heartbeat"].fields]
    assert event[0] == index
    assert ("priority" in event) == has_priority
    acknowledgement = by_name["Test::ackcmd"]
    assert acknowledgement.keys == (index,)
    names = [field.name for field in acknowledgement.fields]
    assert names[5:9] == ["private_origin", index, "ack", "error"]
    (line,) = [line for line in path.read_text().splitlines() if "\tresult;" in line]
    assert line.startswith(f"\t  {result}\tresult;")


def test_release_of_sal_can_be_chosen(tmp_path: Path) -> None:
    options = ["--xml", str(XML), "--xml-version", "mine", "--output", str(tmp_path)]
    assert main([*options, "--sal", "7"]) == 0
    (path,) = tmp_path.iterdir()
    assert "priority" not in path.read_text()


def test_bad_component_does_not_keep_others_from_being_written(
    xml: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = xml / "SALSubsystems.xml"
    other = "<SALSubsystem><Name>Bad</Name></SALSubsystem></SALSubsystemSet>"
    path.write_text(path.read_text().replace("</SALSubsystemSet>", other))
    (xml / "Bad_Events.xml").write_text("<SALEventSet>")
    output = tmp_path / "idl"
    assert main(["--xml", str(xml), "--output", str(output)]) == 2
    assert [path.name for path in output.iterdir()] == ["sal_revCoded_Test.idl"]
    assert "Bad_Events.xml" in capsys.readouterr().err


def test_multiline_texts_become_one_line() -> None:
    topic = Topic(
        "t", TopicKind.TELEMETRY, 'a "quoted"\n  text', (Field("f", "int", 'x\n"y"', "m"),)
    )
    text = component_idl(Component("X", "", indexed=False, topics=(topic,)), "x", Release.SAL_6)
    assert "Description=\"a 'quoted' text\"" in text
    assert '// @Metadata=(Units="m",Description="x \'y\'")' in text


def test_generic_topics_are_selected_by_category(xml: Path) -> None:
    (component,) = load_xml(xml)
    assert {
        "command_start",
        "logevent_summaryState",
        "logevent_settingsApplied",
        "logevent_heartbeat",
    } < names(component)
    assert "command_enterControl" not in names(component)
    change(
        xml, "SALSubsystems.xml", "csc, configurable", "command_enterControl, logevent_errorCode"
    )
    (component,) = load_xml(xml)
    assert {
        "command_enterControl",
        "logevent_errorCode",
        "logevent_heartbeat",
        "logevent_logLevel",
    } < names(component)
    assert not {"command_start", "logevent_summaryState", "logevent_settingsApplied"} & names(
        component
    )


def test_releases_without_categories_have_the_generic_topics(xml: Path) -> None:
    (component,) = load_xml(xml)
    path = xml / "SALGenerics.xml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "Category" not in line))
    (same,) = load_xml(xml)
    assert names(same) == names(component)
    change(
        xml,
        "SALSubsystems.xml",
        "<AddedGenerics>csc, configurable</AddedGenerics>",
        "<Generics>yes</Generics>",
    )
    (everything,) = load_xml(xml)
    assert names(everything) == names(component) | {"command_enterControl"}


def test_component_may_define_a_generic_topic_itself(xml: Path) -> None:
    change(xml, "Test_Events.xml", "Test_logevent_scalars", "Test_logevent_heartbeat")
    (component,) = load_xml(xml)
    (topic,) = [topic for topic in component.topics if topic.name == "heartbeat"]
    assert "string0" in {field.name for field in topic.fields}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "Test_Events.xml",
            "Test_logevent_scalars",
            "Tst_logevent_scalars",
            "should be named Test_logevent_",
        ),
        ("Test_Events.xml", "<Count>5</Count>", "<Count>five</Count>", "Count is 'five'"),
        ("Test_Events.xml", "<IDL_Type>byte<", "<IDL_Type>bite<", "unknown type 'bite'"),
        ("Test_Events.xml", "=0x05", "=five", "'five' is not a whole number"),
        ("Test_Events.xml", "</SALEventSet>", "", "cannot read"),
        ("SALSubsystems.xml", "</SALSubsystemSet>", "", "cannot read"),
    ],
)
def test_bad_xml_is_rejected(xml: Path, file: str, old: str, new: str, message: str) -> None:
    change(xml, file, old, new)
    with pytest.raises(InterfaceError, match=message) as caught:
        load_xml(xml)
    assert file in str(caught.value)


def test_missing_xml_files_are_reported(xml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (xml / "SALGenerics.xml").unlink()
    assert main(["--xml", str(xml)]) == 2
    assert "has no SALGenerics.xml" in capsys.readouterr().err
