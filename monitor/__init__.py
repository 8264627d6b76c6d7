"""The daemon: configuration, sources, decoding, windows, state, evaluation, telemetry and command line."""

import os

# Before numpy is imported anywhere: matrices are small, and threads that wait for one another cost more than they save.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
