"""The site file: settings, credentials and certificates."""
