"""Alerts of other systems, and Alertmanager's API v2."""
