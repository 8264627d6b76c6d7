"""Everything that the daemon publishes: snapshot, metrics page, health, watchdog."""
