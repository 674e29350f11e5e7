"""The CSC ``CCArchiver``: commands, camera and header events in, status events out. It knows nothing of RabbitMQ."""
