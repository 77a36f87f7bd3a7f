"""Writes what is derived from the API's models: the CRDs and the reference."""
