"""What the tools share: one cache folder, steps that show how far they are, Debian packages and wheels unpacked."""
