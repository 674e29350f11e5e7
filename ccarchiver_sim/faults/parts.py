"""Parts of the system that can have only one fault of a kind at a time."""

import enum

from ccarchiver_sim.testbed.supervisor import WORKERS


class Part(enum.Enum):
    """A part that a fault puts into a state; the value names it in a sentence."""

    SAL = "the process of sal"
    BRIDGE = "the process of bridge"
    HEALTH = "the process of health"
    SECOND_INSTANCES = "the second instance of a worker"
    REDIS = "the process of Redis"
    REDIS_FILE = "the append-only file of Redis"
    RABBITMQ = "the process of RabbitMQ"
    REDIS_LINE = "the network to Redis"
    RABBITMQ_LINE = "the network to RabbitMQ"
    PAIRED_FORWARDER = "the process of the paired Forwarder"
    ALL_FORWARDERS = "the behaviour of all Forwarders"
    CONTROLLER = "the Controller"
    OODS = "the OODS"


WORKER_PARTS = {worker: Part[worker.upper()] for worker in WORKERS}
