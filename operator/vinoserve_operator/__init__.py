"""The operator: watches InferenceServices and keeps what they ask for in place."""
