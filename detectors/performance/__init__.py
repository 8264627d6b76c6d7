"""Performance: accuracy of predictions, from mergeable counts of predictions and labels."""
