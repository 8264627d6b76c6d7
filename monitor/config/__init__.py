"""The configuration: its keys, their meaning and their defaults."""
