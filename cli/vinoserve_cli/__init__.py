"""The command `vinoserve`."""
