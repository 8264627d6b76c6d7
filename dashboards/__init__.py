"""Grafana dashboards and Prometheus rules, and what generates them. Not part of the installed application."""
