"""The simulated header service: writes each image's header file, serves it over HTTP, announces it on SAL."""
