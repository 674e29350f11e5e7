"""Messages on RabbitMQ: their YAML form, what the archiver sends and what it accepts."""
