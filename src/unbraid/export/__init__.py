"""What a run takes elsewhere: its networks as ONNX files, its codes as columns."""
