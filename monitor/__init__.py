"""The daemon: configuration, sources, decoding, windows, state, evaluation, telemetry and command line."""
