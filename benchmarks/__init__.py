"""Measurements of asyncstore beside its peers. See README.md for the commands."""
