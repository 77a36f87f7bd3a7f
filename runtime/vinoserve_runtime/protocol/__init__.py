"""The Open Inference Protocol (V2), without I/O: requests in, tensors out, and back."""
