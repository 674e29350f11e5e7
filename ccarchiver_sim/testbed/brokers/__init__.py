"""Private Redis, Sentinel and RabbitMQ servers, each with a free port and a folder of its own.

They end when this process ends.
"""

from ccarchiver_sim.testbed.brokers.rabbit import PrivateRabbit
from ccarchiver_sim.testbed.brokers.redis import PrivateRedis
from ccarchiver_sim.testbed.brokers.sentinel import PrivateSentinel

__all__ = ["PrivateRabbit", "PrivateRedis", "PrivateSentinel"]
