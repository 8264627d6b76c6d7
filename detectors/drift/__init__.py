"""Whether one feature has drifted: effect sizes, their confidence bounds and the decision."""
