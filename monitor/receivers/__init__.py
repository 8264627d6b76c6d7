"""The kinds of receivers: one file for each kind, listed in `registry`."""
