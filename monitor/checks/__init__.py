"""Reads and checks the configuration file: all faults at once, each with its key."""
