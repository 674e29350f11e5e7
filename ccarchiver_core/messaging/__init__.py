"""Mailboxes: the Redis streams through which the workers exchange messages."""
