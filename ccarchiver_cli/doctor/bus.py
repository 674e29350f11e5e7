"""Check of the topics on the DDS bus: whether other programs have the same IDL.

A topic whose fields differ has another suffix in its name. Its readers and writers do not find each
other, and DDS reports no error.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from ccarchiver_cli.doctor.finding import NotCheckedError, ok, warning
from ccarchiver_core.base.errors import ConfigError
from ccarchiver_core.config.dds_environment import PARTITION
from ccarchiver_core.config.site_sections import SalNames
from ccarchiver_core.sal_interface.idl_file import read_idl
from ccarchiver_core.sal_interface.needs import needs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ccarchiver_cli.doctor.finding import Finding
    from ccarchiver_cli.doctor.site import Site
    from ccarchiver_core.sal_interface.idl_file import IdlFile

NAME = "dds.bus"

LISTEN = 3.0
"""Seconds to listen. Programs on the bus announce themselves to a new one at once."""

MOST = 100_000
"""Readers and writers to look at; a bus of the observatory has a few thousand."""


def check(site: Site) -> Iterator[Finding]:
    """Check the names of the topics that other programs on the bus read and write."""
    # Imported here: a broken installation must be the finding of its own check only.
    from lsst.ts.idl import get_idl_dir  # noqa: PLC0415

    prefix = os.environ.get(PARTITION, "")
    if not prefix:  # the check of the environment reports it
        return
    names = SalNames() if site.settings_or_none is None else site.settings_or_none.sal
    try:
        idls = [read_idl(get_idl_dir(), component) for component in names.all]
    except ConfigError:  # the check of the IDL files reports the reason
        return
    yield evaluate(idls, names, topics_on_the_bus(prefix, LISTEN))


def evaluate(idls: Iterable[IdlFile], names: SalNames, seen: set[str]) -> Finding:
    """Compare the names of topics on the bus with those of the IDL at hand."""
    same, other = set(), {}
    for idl in idls:
        for need in needs_of(names)[idl.component]:
            topic = idl.topics.get(need.topic)
            stem = f"{idl.component}_{need.topic}_"
            for name in seen:
                suffix = name.removeprefix(stem)
                if topic is None or suffix == name or "_" in suffix:
                    continue  # another topic
                if suffix == topic.suffix:
                    same.add(stem)
                else:
                    other[name] = topic.suffix
    if other:
        name, suffix = min(other.items())
        return warning(
            NAME,
            f"other programs have another IDL: topics with another suffix: {len(other)}, such as "
            f"{name}, which has {suffix} here: nothing arrives from or at these programs",
            "give all programs on the bus the same IDL (docs/explanations/middleware.md)",
        )
    if not same:
        return ok(NAME, "no program on the bus uses the topics of the archiver")
    return ok(NAME, f"topics in use with the suffixes of the IDL here: {len(same)}")


def topics_on_the_bus(prefix: str, seconds: float) -> set[str]:
    """Return the DDS names of the topics in partitions with a prefix.

    Raises
    ------
    NotCheckedError
        If there is no bus, or if this is a site with the genuine DDS library, which has no such
        list.
    """
    import dds  # noqa: PLC0415

    if not dds.DDSException.__module__.startswith("ts_dds_cyclone"):
        reason = "OpenSplice has its own tool for this, mmstat"
        raise NotCheckedError(reason)
    from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication  # noqa: PLC0415
    from cyclonedds.builtin import BuiltinTopicDcpsSubscription as Subscription  # noqa: PLC0415
    from cyclonedds.core import DDSException, Policy  # noqa: PLC0415
    from cyclonedds.domain import Domain, DomainParticipant  # noqa: PLC0415
    from ts_dds_cyclone.settings import cyclone_configuration, domain_id  # noqa: PLC0415

    try:
        domain = Domain(domain_id(), cyclone_configuration())
        participant = DomainParticipant(domain_id())
        readers = [
            BuiltinDataReader(participant, topic)
            for topic in (BuiltinTopicDcpsPublication, Subscription)
        ]
    except DDSException as error:
        reason = "DDS does not start, see dds.environment and dds.interface"
        raise NotCheckedError(reason) from error
    found = set()
    time.sleep(seconds)
    for reader in readers:
        for endpoint in reader.take(N=MOST):
            partition = endpoint.qos[Policy.Partition] if endpoint.qos is not None else None
            names = partition.partitions if partition is not None else ()
            if any(name.startswith(f"{prefix}.") for name in names):
                found.add(endpoint.topic_name)
    del readers, participant, domain  # in this order: each needs the next one
    return found
