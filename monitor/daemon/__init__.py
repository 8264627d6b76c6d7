"""The loop, the monitored models, the order of event time, recovery and set-up."""
