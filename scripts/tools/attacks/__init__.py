"""Attacks on a running Hoursight; `python -m scripts.tools.attacks` plays them all.

Each module of this folder that has a tuple `ATTACKS` of `attack.Attack` takes part. An attack gets
the running `Instance`, does its worst, and returns an `Answer`: what it saw, and whether the system
held.
"""
