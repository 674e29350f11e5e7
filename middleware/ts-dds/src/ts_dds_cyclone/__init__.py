"""The part of OpenSplice's Python API that ts-salobj 6.9 uses, on Eclipse Cyclone DDS.

Programs import `dds` and `ddsutil`; this package contains their implementation.
"""
