"""Change points of streams: detects small lasting changes and sudden changes, pane by pane."""
