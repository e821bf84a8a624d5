"""The command `verify`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from ...runtime.verdict import CheckFailedError


@dataclass
class VerifyArguments:
    """Which release to verify, and against what."""

    model: str = field(metadata={"help": "Released folder; may stand first, without the option."})
    checkpoint: str | None = field(default=None, metadata={"help": "Checkpoint that it was built from."})
    python: str = field(default=sys.executable, metadata={"help": "Interpreter of the isolated process."})


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
