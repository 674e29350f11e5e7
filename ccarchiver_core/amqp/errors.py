"""The cause of an error that pika raises."""

from __future__ import annotations


def cause_of(error: BaseException) -> BaseException:
    """Return the innermost cause of an error.

    pika wraps it in arguments and lists of its own exceptions.
    """
    inside = [*error.args, *getattr(error, "exceptions", ()), getattr(error, "exception", None)]
    for inner in reversed(inside):
        if isinstance(inner, BaseException):
            return cause_of(inner)
    return error
