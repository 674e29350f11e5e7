"""OpenSplice's Python API, as far as ts-salobj 6.9 uses it, on Eclipse Cyclone DDS.

Programs import `dds` and `ddsutil`; this package holds what these two names offer.
"""
