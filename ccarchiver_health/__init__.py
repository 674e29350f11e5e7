"""Health worker: pairing, monitoring and housekeeping.

It pairs and monitors Forwarders, kills a hung bridge or CSC, and prunes the ledger. It never sets
the SAL summary state.
"""
