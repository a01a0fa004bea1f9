"""Benchmarks that compare asyncstore with other libraries. See README.md for the commands."""
