"""From a checkpoint to a Hub folder that a stranger loads."""

from .builder import ReleaseArguments, build_release
from .verify import Check, VerificationReport, verify_release

__all__ = ["Check", "ReleaseArguments", "VerificationReport", "build_release", "verify_release"]
