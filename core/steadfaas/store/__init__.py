"""The durable store: one SQLite file, one writer, named SQL, numbered migrations."""
