"""Export of a run for other programs: networks as ONNX, codes as columns of a table."""
