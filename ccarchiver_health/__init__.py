"""Health: pairs and watches Forwarders, ends a hung bridge or CSC, keeps the ledger in order. It sets no SAL state."""
