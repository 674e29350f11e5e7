"""The bridge: the only part of the archiver that uses RabbitMQ. It does not use SAL."""
