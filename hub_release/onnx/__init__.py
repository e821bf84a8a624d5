"""ONNX graphs of a release: export, quantization, checks."""
