"""Late labels: joined to their predictions, counted by pane, judged when they are complete."""
