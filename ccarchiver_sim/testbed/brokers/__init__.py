"""Redis and RabbitMQ servers of one's own: free ports, everything below one folder, gone when the caller is."""

from ccarchiver_sim.testbed.brokers.rabbit import PrivateRabbit
from ccarchiver_sim.testbed.brokers.redis import PrivateRedis
from ccarchiver_sim.testbed.brokers.sentinel import PrivateSentinel

__all__ = ["PrivateRabbit", "PrivateRedis", "PrivateSentinel"]
