"""The soak: a steady rate of exposures for minutes or hours, and a check that nothing grows."""
