"""Inbox: segments of rows before their commit, their validation, and commit notifications."""
