# ruff: noqa: T201 (the test reads what this prints)
"""Brings up loopback in its empty network namespace and lets two processes communicate there."""

import fcntl
import socket
import struct
import sys
from pathlib import Path

from tests.middleware.process import Peer

SIOCSIFFLAGS, IFF_UP = 0x8914, 1

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
print(*(name for _, name in socket.if_nameindex()))
idl = Path(sys.argv[1])
writer, reader = Peer(idl), Peer(idl)
for peer in (writer, reader):
    peer.open()
writer.ask("writer", "logevent_scalars")
writer.ask("write_many", "logevent_scalars", 0, 3)
reader.ask("reader", "logevent_scalars")
assert reader.ask("settle", "logevent_scalars")
print(reader.ask("numbers", "logevent_scalars"))
writer.kill()
reader.kill()
