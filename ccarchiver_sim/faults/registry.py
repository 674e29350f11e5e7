"""All scenarios by name."""

from collections.abc import Callable

from ccarchiver_sim.faults.scenario import Scenario
from ccarchiver_sim.faults.scenarios import (
    brokers,
    camera,
    controllers,
    forwarders,
    instances,
    kills,
    messages,
    network,
    storage,
)

FAMILIES = (kills, camera, messages, network, storage, forwarders, instances, brokers, controllers)
"""Those that need an operator come last: what they leave behind must not be blamed on others."""

MAKERS: dict[str, Callable[[], Scenario]] = {make().name: make for family in FAMILIES for make in family.SCENARIOS}
"""In the order in which a campaign runs them."""

SHORT: tuple[str, ...] = (
    "kill-all",
    "camera-odd-orders",
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
    "controller-silent",
    "controller-negative",
)
"""One scenario of each kind: what dies, freezes, refuses, lies, or loses its network. They run beside the tests."""
