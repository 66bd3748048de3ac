"""The HTTP faces of the engine: ingress and admin API."""
