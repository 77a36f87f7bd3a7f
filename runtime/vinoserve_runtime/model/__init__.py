"""The model as files and as a graph: fetched, verified, unpacked, read, reshaped, preprocessed."""
