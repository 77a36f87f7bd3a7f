"""The node agent: finds the accelerators of the node it runs on, and labels the node with them."""
