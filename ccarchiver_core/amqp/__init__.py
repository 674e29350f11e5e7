"""How a connection to RabbitMQ is configured."""
