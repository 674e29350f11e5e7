"""The simulated header service: writes header files, serves them over HTTP, announces them."""
