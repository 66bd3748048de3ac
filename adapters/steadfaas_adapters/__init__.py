"""Adapters for FaaS platforms, found through the entry-point group `steadfaas.adapters`."""
