"""Benchmarks, run by hand: `python -m tests.benchmarks.scaling`. They print ratios within one run."""
