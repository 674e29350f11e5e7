"""The ``ccarchiver`` command: what an operator asks at 3 a.m.

Answered from Redis alone, but for the logs, the site file and the doctor, which looks everywhere.
"""
