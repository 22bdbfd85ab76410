"""Kept so that older imports work; use `nlp_adapt.prediction.export` instead."""

from nlp_adapt.prediction.export import OnnxModel, export_onnx

__all__ = ["OnnxModel", "export_onnx"]
