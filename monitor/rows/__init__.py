"""What passes between the rooms: messages, columns, rows, and the values in them."""
