"""List of all checks in the sequence of the output; dependencies come first."""

from __future__ import annotations

from ccarchiver_cli.doctor import (
    bus,
    clock,
    dds,
    files,
    idl,
    page,
    processes,
    rabbit_bindings,
    rabbit_queues,
    rabbit_replicas,
    rabbit_server,
    redis_data,
    redis_records,
    redis_server,
    storage,
    supervisor,
    workers,
)
from ccarchiver_cli.doctor.runner import Check

CHECKS = (
    Check(files.CONFIGURATION, files.configuration),
    Check(files.CREDENTIALS, files.credentials),
    Check("redis", redis_server.reach),
    Check("redis.persistence", redis_server.persistence),
    Check("redis.memory", redis_server.memory),
    Check("redis.database", redis_data.database),
    Check("redis.records", redis_records.check),
    Check("redis.clock", redis_server.clock),
    Check("rabbitmq", rabbit_server.reach),
    Check("rabbitmq.queues", rabbit_queues.check),
    Check(rabbit_replicas.NAME, rabbit_replicas.check),
    Check("supervisor", supervisor.check),
    Check("worker", workers.check),
    Check(page.NAME, page.check),
    Check("environment", processes.environments),
    Check("limits.files", processes.file_limits),
    Check("dds.environment", dds.environment),
    Check("dds.interface", dds.interface),
    Check(idl.NAME, idl.check),
    Check(bus.NAME, bus.check),
    Check("clock.tai", clock.tai),
    Check("staging", storage.staging),
    Check("logs", storage.logs),
)

BINDINGS = Check("rabbitmq.bindings", rabbit_bindings.check, rabbit_bindings.LIMIT)
"""Optional check.

rabbitmqctl needs the rights of root or of rabbitmq, on the broker's host.
"""
