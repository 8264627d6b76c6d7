"""The configuration file, read and checked: every fault at once, each with its place."""
