"""A protocol double of Elasticsearch 8: no server of it can be had for tests without its licence.

`store` answers requests as Elasticsearch does, for the part of its API that is asked here; `door`
serves that (or a real server behind it) over HTTP and HTTPS, with failures when told to.
"""
