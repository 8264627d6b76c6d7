"""What may stand in the configuration, what it means and what it defaults to."""
