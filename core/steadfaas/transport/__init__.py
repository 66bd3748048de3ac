"""Carries bytes to endpoints and names what went wrong."""
