"""Data quality: rates of faults, repeated rows, traffic."""
