"""The simulated Forwarder: fetches pixels and headers, writes FITS files, copies them to the archive."""
