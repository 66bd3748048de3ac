"""Endpoint references: discovered, checked, registered, kept, looked up."""
