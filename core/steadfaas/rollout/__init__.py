"""Rolling out versions as a client of the admin API: what a new one would change."""
