"""Grafana dashboards and Prometheus rules, and their generators. Not part of the installed application."""
