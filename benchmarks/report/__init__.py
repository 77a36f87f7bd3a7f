"""docs/benchmarks.md and its pictures, made from results: no sentence says what no figure does."""
