"""What people see of the archiver, read from Redis: the same for the command line, the status page and the metrics."""
