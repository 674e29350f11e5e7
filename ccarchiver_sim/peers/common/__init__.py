"""What all simulated peers share: connections, message bodies, the run loop."""
