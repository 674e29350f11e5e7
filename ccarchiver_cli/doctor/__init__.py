"""``ccarchiver doctor``: check every service that the archiver uses, and print what to type."""
