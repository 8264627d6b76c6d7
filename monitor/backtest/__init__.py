"""Replays a log through the daemon, and reports what would have fired as JSON lines and as HTML."""
