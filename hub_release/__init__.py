"""From a checkpoint to a Hub folder that loads without this package."""

from typing import TYPE_CHECKING

from ..runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .builder import ReleaseArguments, build_release
    from .conversion import ConversionArguments, convert_checkpoint, run_conversion
    from .onnx.export import export_onnx
    from .onnx.files import OnnxOptions
    from .upload.push import PushArguments, push_release
    from .verification.verify import Check, VerificationReport, verify_release
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Check",
    "ConversionArguments",
    "OnnxOptions",
    "PushArguments",
    "ReleaseArguments",
    "VerificationReport",
    "build_release",
    "convert_checkpoint",
    "export_onnx",
    "push_release",
    "run_conversion",
    "verify_release",
]
