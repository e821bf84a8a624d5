"""From a checkpoint to a Hub folder that a stranger loads."""

from .builder import ReleaseArguments, build_release
from .conversion import ConversionArguments, convert_checkpoint, run_conversion
from .onnx_export import export_onnx
from .onnx_files import OnnxOptions
from .push import PushArguments, push_release
from .verify import Check, VerificationReport, verify_release

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
