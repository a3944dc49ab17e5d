"""Trained models: found, verified, converted, opened; the only place that knows onnxruntime."""
