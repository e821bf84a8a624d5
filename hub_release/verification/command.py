"""The command `verify`."""

from __future__ import annotations

from ...runtime.process_end import CheckFailedError
from ..arguments import VerifyArguments
from .verify import verify_release


def run_verification(args: VerifyArguments) -> str:
    """Verify a release and return the report.

    Raises:
        CheckFailedError: With the report, where a check failed.
    """
    report = verify_release(args.model, args.checkpoint, args.python)
    if not report.is_ok:
        raise CheckFailedError(report.summary())
    return report.summary()
