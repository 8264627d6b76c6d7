"""When a stream changed: small changes that last, found pane by pane."""
