"""References of windows: profiles of training data, and how they are built."""
