"""Panes and sliding windows of event time: mergeable counts."""
