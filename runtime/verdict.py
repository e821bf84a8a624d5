"""How a command that worked says that what it checked is not in order."""


class CheckFailedError(Exception):
    """A command ran well and its verdict is no; the message is its report."""
