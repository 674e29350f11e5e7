"""Exceptions that say what the caller has to do about them."""

from __future__ import annotations


class CcArchiverError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(CcArchiverError):
    """A site's files are wrong; the text names the file, the key, the line and the mend."""


class LeaseHeldError(CcArchiverError):
    """Another instance of this worker is running; the text says where. Exit, do not retry."""


class FencedError(CcArchiverError):
    """Another instance took over while this one was away. Stop at once; nothing may be written any more."""


class DataLostError(FencedError):
    """Redis has come back without its data. Stop, and begin anew."""


class RejectedError(CcArchiverError):
    """A message that can never be handled; it belongs in the dead letters with this reason."""
