"""Performance: how right the predictions are, from mergeable counts of predictions and outcomes."""
