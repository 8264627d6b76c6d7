"""From findings to notifications: pure decisions (rules, policy), and delivery to sinks."""
