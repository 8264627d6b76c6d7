"""Used by every room: errors, clocks, durations, event times, the log, arrays as JSON."""
