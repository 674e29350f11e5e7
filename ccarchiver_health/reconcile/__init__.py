"""Comparison of the ledger with the images that the camera took."""
