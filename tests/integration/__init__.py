"""A package, so that a fixture can last for all of its tests and no longer."""
