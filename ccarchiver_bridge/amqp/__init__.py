"""Typed adapter for RabbitMQ: `AmqpConnection` is one connection, from open to closed."""
