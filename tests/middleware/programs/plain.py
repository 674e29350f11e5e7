"""Opens a participant and ends."""

import dds

participant = dds.DomainParticipant()
print("open")
