"""Exceptions of the archiver, and how a caller must handle them."""

from __future__ import annotations


class CcArchiverError(Exception):
    """Base of all errors that this project raises itself."""


class ConfigError(CcArchiverError):
    """A file of the site is invalid; the text names the file, the key, the line and the remedy."""


class LeaseHeldError(CcArchiverError):
    """Another instance of this worker is running; the text names its host. Exit, do not retry."""


class FencedError(CcArchiverError):
    """Another instance has acquired the lease. Stop at once, and write nothing more."""


class DataLostError(FencedError):
    """Redis has lost its data. Stop, and start again."""


class InterfaceChangedError(CcArchiverError):
    """The network interface of SAL has another address. Exit; the next start uses the new one."""


class RejectedError(CcArchiverError):
    """A message that is invalid. Store it as a dead letter with this reason."""
