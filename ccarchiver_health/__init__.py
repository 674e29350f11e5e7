"""Health: pairs and watches Forwarders, ends hung workers, keeps the ledger in order. It decides no SAL state."""
