"""The error of a command that worked and found a fault in what it checked."""


class CheckFailedError(Exception):
    """A check found a fault; the message is the report."""
