"""The CSC ``CCArchiver``: it executes commands, reads camera and header events, publishes statuses.

It does not use RabbitMQ.
"""
