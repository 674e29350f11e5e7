"""Configuration of connections to RabbitMQ."""
