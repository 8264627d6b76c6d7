"""What the daemon shows of itself: snapshot, metrics page, health, watchdog."""
