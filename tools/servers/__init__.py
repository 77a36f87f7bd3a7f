"""Real servers that tests talk to: object stores, an image registry, Prometheus. Built once, kept in the cache folder."""
