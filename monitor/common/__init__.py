"""What every room uses: errors, clocks, durations, event times, the log, arrays as JSON."""
