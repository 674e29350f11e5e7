"""The bridge: everything the archiver says and hears on RabbitMQ. It knows nothing of SAL."""
