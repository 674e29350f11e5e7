"""The night: exposures at a real cadence, random faults, and an operator who does nothing."""
