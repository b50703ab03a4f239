"""The process `trainer`: trains the model when the engine has decided so.

It imports neither Arrow nor a database: it asks the engine, and what needs those runs in a child.
"""
