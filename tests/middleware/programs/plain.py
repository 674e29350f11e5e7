# ruff: noqa: T201 (the test reads what this prints)
"""Opens a participant and exits."""

import dds

participant = dds.DomainParticipant()
print("open")
