"""The fault campaign: scenarios that inject faults into a running archiver, and a check for losses.

The check (oracle) uses only the events that were put on SAL and the results: files on disk and
events on SAL.
"""
