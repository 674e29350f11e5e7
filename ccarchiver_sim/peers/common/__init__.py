"""Common code of the simulated peers: connections, message bodies, the run loop."""
