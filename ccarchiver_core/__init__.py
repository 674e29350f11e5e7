"""Common parts of the three workers: settings, Redis state, mailboxes, leases, logs, run loop."""

try:
    # An installation writes this file from git's tags. Importing it is faster than reading the
    # metadata of the package.
    from ccarchiver_core._version import __version__
except ModuleNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
