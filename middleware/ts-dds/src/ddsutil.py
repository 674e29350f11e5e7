# ruff: noqa: INP001 (a single module, as in OpenSplice)
"""The part of OpenSplice's module for types from IDL that ts-salobj 6.9 uses (see dds)."""

from genuine_first import hand_over

if not hand_over(__name__, __file__, beside=["dds"], marker="ts_dds_cyclone"):
    from ts_dds_cyclone.idl_parser import ParsedIdl, parse_idl_file
    from ts_dds_cyclone.topic_class import GeneratedClassInfo, TopicDataClass, make_dds_topic_class

    __all__ = [
        "GeneratedClassInfo",
        "ParsedIdl",
        "TopicDataClass",
        "make_dds_topic_class",
        "parse_idl_file",
    ]
