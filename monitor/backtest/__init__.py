"""A log through the same daemon: what would have fired, as JSON lines and as a report."""
