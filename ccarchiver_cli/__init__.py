"""The operator's command ``ccarchiver``.

Most commands read only Redis. ``logs`` reads log files, ``config`` reads the site file, and
``doctor`` checks every service that the archiver uses.
"""
