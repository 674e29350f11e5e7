"""Event listener of supervisord: records the state of supervised processes in Redis."""
