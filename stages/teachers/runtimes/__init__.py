"""What computes a teacher's network: torch, ONNX Runtime or OpenVINO, each behind one call."""
