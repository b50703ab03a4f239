"""Replay: a history played in order of time through the functions that serve."""
