"""Converts evaluations to saved notifications: rules, incidents and outbox of the running daemon."""
