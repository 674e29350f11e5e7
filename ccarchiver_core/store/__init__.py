"""The archiver's state in Redis, and the transactions that change it."""
