"""Statistics that detect change. Pure functions on arrays: no clock, no I/O, no logging, no configuration."""
