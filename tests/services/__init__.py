"""Handlers that tests and the benchmark run, written with the official SDKs."""
