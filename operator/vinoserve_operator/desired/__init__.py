"""What shall be in the cluster for an InferenceService: pure, the same bytes for the same input."""
