"""Alerting: rules in the data folder, and what the alert function reads of the lake."""
