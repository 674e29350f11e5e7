"""The process of a worker: lease, heartbeat, watchdog, signals and exit codes."""
