"""What a worker's process consists of: lease, heartbeat, watchdog, signals, exit codes."""
