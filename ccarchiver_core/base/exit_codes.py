"""The exit codes of the programs, as in sysexits.h.

supervisord.conf lists the ones that are expected.
"""

from __future__ import annotations

EXIT_INTERRUPTED = 130
"""Ctrl-C has ended the command: 128 and the number of SIGINT, as in a shell."""

EXIT_CONFIG = 78
"""The configuration is wrong (EX_CONFIG)."""

EXIT_PROTOCOL = 76
"""The input of the event listener is not supervisord's protocol (EX_PROTOCOL)."""

EXIT_LEASE_HELD = 75
"""Another instance is running (EX_TEMPFAIL); supervisord starts this one again."""

EXIT_OUTPUT = 74
"""Standard output or a file cannot be written, for example on a full disk (EX_IOERR)."""

EXIT_INTERFACE_CHANGED = 71
"""The network interface has another address (EX_OSERR); supervisord starts the CSC again."""

EXIT_FENCED = 70
"""Another instance has acquired the lease of this one (EX_SOFTWARE)."""

EXIT_UNAVAILABLE = 69
"""Redis does not answer (EX_UNAVAILABLE)."""
