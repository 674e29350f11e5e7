"""The suffixes of topic names are those of the observatory's own tools."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from interfaces.__main__ import DEFINITIONS
from interfaces.definition import load_definitions
from interfaces.model import Component, Field, Topic, TopicKind
from interfaces.private import acknowledgement_topic
from interfaces.release import Release, release_of
from interfaces.suffix import topic_suffix

GENUINE = yaml.safe_load((Path(__file__).parent / "data" / "genuine_suffixes.yaml").read_text())


def as_in_xml_15(topic: Topic) -> Topic:
    """Return a topic of XML 10.1 with the fields that XML 15 has."""
    if topic.sal_name == "command_start":
        return replace(topic, fields=(Field("configurationOverride", "string"),))
    return topic


@pytest.mark.parametrize(
    ("version", "name"),
    [(version, name) for version, components in GENUINE.items() for name in components],
)
def test_suffixes_are_the_genuine_ones(version: str, name: str) -> None:
    (component,) = (c for c in load_definitions(DEFINITIONS)[1] if c.name == name)
    topics = [*component.topics, acknowledgement_topic()]
    if release_of(version) is Release.SAL_7:
        topics = [as_in_xml_15(topic) for topic in topics]
    suffixes = {
        topic.sal_name: topic_suffix(component, topic, release_of(version)) for topic in topics
    }
    genuine = GENUINE[version][name]
    assert {topic: suffixes[topic] for topic in genuine} == genuine


def test_archiver_has_no_other_topics_than_the_genuine_one() -> None:
    (archiver,) = (c for c in load_definitions(DEFINITIONS)[1] if c.name == "CCArchiver")
    names = {topic.sal_name for topic in (*archiver.topics, acknowledgement_topic())}
    for version in GENUINE:
        assert names == set(GENUINE[version]["CCArchiver"])


def test_suffix_does_not_depend_on_texts_and_the_index() -> None:
    topic = Topic("t", TopicKind.EVENT, "x", (Field("f", "int", "y", "m"),))
    plain = Topic("t", TopicKind.EVENT, "", (Field("f", "int"),))
    suffixes = {
        topic_suffix(Component("X", "", is_indexed, (one,)), one, Release.SAL_6)
        for one in (topic, plain)
        for is_indexed in (True, False)
    }
    assert len(suffixes) == 1
