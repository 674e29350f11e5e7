"""The archiver's status, read from Redis, for the command line, the status page and the metrics."""
