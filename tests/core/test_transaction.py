"""Transaction: the commands of many messages are merged."""

from __future__ import annotations

from ccarchiver_core import keys
from ccarchiver_core.keys import Worker
from ccarchiver_core.store.transaction import MAX_MERGED_WORDS, Transaction

MAILBOX = Worker.SAL.mailbox


def test_increments_of_one_counter_are_added() -> None:
    transaction = Transaction().count("a").count("b", 2).count("a", 3)

    assert transaction.commands == [
        ("HINCRBY", "ccarchiver:counters", "a", 4),
        ("HINCRBY", "ccarchiver:counters", "b", 2),
    ]


def test_acks_of_one_mailbox_share_their_commands() -> None:
    transaction = Transaction().ack(Worker.SAL, "1-1").ack(Worker.BRIDGE, "5-0")
    transaction.ack(Worker.SAL, "1-2")

    assert transaction.commands == [
        ("XACK", MAILBOX, keys.MAILBOX_GROUP, "1-1", "1-2"),
        ("XDEL", MAILBOX, "1-1", "1-2"),
        ("XACK", Worker.BRIDGE.mailbox, keys.MAILBOX_GROUP, "5-0"),
        ("XDEL", Worker.BRIDGE.mailbox, "5-0"),
    ]


def test_consecutive_fields_of_one_hash_are_set_together_in_sequence() -> None:
    transaction = Transaction().set_fields("h", {"x": 1}).set_fields("h", {"y": 2, "x": 3})

    assert transaction.commands == [("HSET", "h", "x", 1, "y", 2, "x", 3)]


def test_fields_after_another_command_are_not_set_before_it() -> None:
    transaction = Transaction().set_fields("h", {"x": 1}).command("DEL", "h")
    transaction.set_fields("h", {"y": 2}).set_fields("i", {"y": 2})

    assert transaction.commands == [
        ("HSET", "h", "x", 1),
        ("DEL", "h"),
        ("HSET", "h", "y", 2),
        ("HSET", "i", "y", 2),
    ]


def test_merged_command_has_a_limited_number_of_words() -> None:
    transaction = Transaction()
    for number in range(2 * MAX_MERGED_WORDS):
        transaction.ack(Worker.SAL, f"{number}-0")
    for number in range(MAX_MERGED_WORDS):
        transaction.set_fields("h", {f"{number}": 1})

    assert max(len(words) for words in transaction.commands) <= MAX_MERGED_WORDS
    acked = [word for words in transaction.commands if words[0] == "XACK" for word in words[3:]]
    assert acked == [f"{number}-0" for number in range(2 * MAX_MERGED_WORDS)]
