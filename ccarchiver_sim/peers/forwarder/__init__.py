"""The simulated Forwarder: fetches headers, writes FITS files, copies them to the archive."""
