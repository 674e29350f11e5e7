"""Models of an exposure, the session and the messages between the workers; no I/O."""
