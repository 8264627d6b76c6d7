"""The durable state: one SQLite database, its generations, checksums and formats."""
