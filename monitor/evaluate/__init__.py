"""Windows to evaluations: drift, quality, traffic, performance, change points."""
