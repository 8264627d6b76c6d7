"""The daemon's own state for others: snapshot, metrics page, health, watchdog."""
