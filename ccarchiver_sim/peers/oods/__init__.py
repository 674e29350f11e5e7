"""The simulated OODS: checks each linked file, ingests it into a Butler, sends its status."""
