"""What windows are compared with: profiles of training data, and how they are built."""
