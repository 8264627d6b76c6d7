"""Whether several features together have drifted."""
