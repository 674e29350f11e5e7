"""The messages on RabbitMQ: their text form, what the archiver sends, what it understands."""
