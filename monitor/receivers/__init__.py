"""The places that notifications go to: one file each, listed in `registry`."""
