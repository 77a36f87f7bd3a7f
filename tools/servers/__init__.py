"""Real servers that tests talk to: object stores, an image registry, Prometheus; and what scales pods. Built once, kept in the cache folder."""
