"""The status page: read only, on loopback by default, beside the health worker's work and never in its way."""
