"""The command `verify`."""

from __future__ import annotations

import sys
from dataclasses import MISSING, dataclass

from ...runtime.options import argument
from ...runtime.verdict import CheckFailedError


@dataclass
class VerifyArguments:
    """Which release to verify, and against what."""

    model: str = argument(MISSING, "Released folder; may stand first.")
    checkpoint: str | None = argument(None, "Checkpoint that it was built from; null: the release's own weights.")
    python: str = argument(sys.executable, "Interpreter of the isolated process.")


def run_verification(args: VerifyArguments) -> str:
    """Verify a release and return the report.

    Raises:
        CheckFailedError: with the report, where a check failed.
    """
    from .verify import verify_release

    report = verify_release(args.model, args.checkpoint, args.python)
    if not report.is_ok:
        raise CheckFailedError(report.summary())
    return report.summary()
