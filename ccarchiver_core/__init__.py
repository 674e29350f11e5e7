"""What the three workers share: settings, Redis state, mailboxes, leases, logs and the run loop."""

try:
    # Written by every installation, from git's tags: cheaper at a start than to ask for the metadata of the package.
    from ccarchiver_core._version import __version__
except ModuleNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
