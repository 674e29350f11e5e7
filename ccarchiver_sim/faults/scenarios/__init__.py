"""The scenarios of the fault campaign, one module for each family."""
