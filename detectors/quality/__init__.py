"""Whether the data itself is sound: rates of faults, repeated rows, traffic."""
