"""All scenarios by name."""

from collections.abc import Callable

from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.faults.scenarios import (
    brokers,
    camera,
    controllers,
    failover,
    forwarders,
    instances,
    kills,
    messages,
    missed,
    network,
    queues,
    storage,
)

FAMILIES = (
    kills,
    camera,
    messages,
    network,
    storage,
    forwarders,
    instances,
    brokers,
    queues,
    controllers,
    failover,
    missed,
)
"""Scenarios that need an operator come last, so that their after-effects cannot affect others. Then
those with a Redis group and those with catch-up run, each on another testbed."""

MAKERS: dict[str, Callable[[], Scenario]] = {
    make().name: make for family in FAMILIES for make in family.SCENARIOS
}
"""All scenarios, in the sequence in which a campaign runs them."""

SHORT: tuple[str, ...] = (
    "kill-all",
    "camera-event-sequences",
    "bad-messages",
    "network-cut",
    "network-half-open",
    "network-lost-replies",
    "redis-full",
    "forwarder-killed",
    "forwarder-mute",
    "forwarders-gone",
    "worker-frozen",
    "redis-killed",
    "rabbitmq-killed",
    "rabbitmq-rejects",
    "rabbitmq-queue-deleted",
    "controller-silent",
    "controller-negative",
)
"""One scenario of each kind: death, freeze, rejection, bad input, network loss. `scripts/check`
runs them. Those with a Redis group are only in the longer campaigns: they need another testbed."""
