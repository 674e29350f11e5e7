"""Helpers that do not depend on the archiver: errors, retries, clocks, tasks, failpoints."""
