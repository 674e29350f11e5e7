"""The soak: steady exposures for minutes or hours, and nothing that grows."""
