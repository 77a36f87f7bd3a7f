"""The model on its device: compiled, asked through a pool of infer requests, and honest about what it runs on."""
