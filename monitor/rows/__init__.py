"""Data passed between rooms: messages, columns, rows, and the values in them."""
