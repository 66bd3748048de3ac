"""Carries the machine's effects out: store, then send, then wake."""
