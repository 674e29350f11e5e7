"""What the three workers share: settings, Redis state, mailboxes, leases, logs and the run loop."""

__version__ = "0.1.0"
