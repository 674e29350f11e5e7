# ruff: noqa: INP001 (a single module, as in OpenSplice)
"""The part of OpenSplice's Python module that ts-salobj 6.9 uses, on Eclipse Cyclone DDS.

If the genuine module is installed, it is used instead (see `genuine_first`). The genuine module is
installed together with ddsutil; the unrelated package ``dds`` of the Python Package Index is not.
"""

from genuine_first import hand_over

if not hand_over(__name__, __file__, beside=["ddsutil"], marker="ts_dds_cyclone"):
    from importlib.metadata import version as _version

    from ts_dds_cyclone.conditions import Condition, GuardCondition, QueryCondition, ReadCondition
    from ts_dds_cyclone.entities import (
        DataWriter,
        DomainParticipant,
        Entity,
        Publisher,
        Subscriber,
        Topic,
    )
    from ts_dds_cyclone.errors import BoundsError, DDSException
    from ts_dds_cyclone.kinds import (
        DDSDestinationOrderKind,
        DDSDurabilityKind,
        DDSDuration,
        DDSHistoryKind,
        DDSOwnershipKind,
        DDSReliabilityKind,
        DDSStateKind,
        DDSTime,
    )
    from ts_dds_cyclone.profiles import QosProvider
    from ts_dds_cyclone.qos import (
        DestinationOrderQosPolicy,
        DurabilityQosPolicy,
        DurabilityServiceQosPolicy,
        HistoryQosPolicy,
        OwnershipQosPolicy,
        PartitionQosPolicy,
        Qos,
        ReliabilityQosPolicy,
    )
    from ts_dds_cyclone.reader import DataReader, SampleInfo, _Sample
    from ts_dds_cyclone.waitset import WaitSet

    __version__ = _version("cyclonedds")
    __all__ = [
        "BoundsError",
        "Condition",
        "DDSDestinationOrderKind",
        "DDSDurabilityKind",
        "DDSDuration",
        "DDSException",
        "DDSHistoryKind",
        "DDSOwnershipKind",
        "DDSReliabilityKind",
        "DDSStateKind",
        "DDSTime",
        "DataReader",
        "DataWriter",
        "DestinationOrderQosPolicy",
        "DomainParticipant",
        "DurabilityQosPolicy",
        "DurabilityServiceQosPolicy",
        "Entity",
        "GuardCondition",
        "HistoryQosPolicy",
        "OwnershipQosPolicy",
        "PartitionQosPolicy",
        "Publisher",
        "Qos",
        "QosProvider",
        "QueryCondition",
        "ReadCondition",
        "ReliabilityQosPolicy",
        "SampleInfo",
        "Subscriber",
        "Topic",
        "WaitSet",
        "_Sample",
        "__version__",
    ]
