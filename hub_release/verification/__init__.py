"""What proves a release: security, an isolated process, reference outputs."""

from typing import TYPE_CHECKING

from ...runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .isolated_process import ProcessFailedError, run_script
    from .verify import Check, VerificationReport, verify_release
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = ["Check", "ProcessFailedError", "VerificationReport", "run_script", "verify_release"]
