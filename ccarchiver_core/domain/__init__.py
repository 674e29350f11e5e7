"""The models of an exposure and of the messages between the workers; no I/O."""
