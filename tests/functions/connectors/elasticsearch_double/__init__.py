"""A protocol double of Elasticsearch 8, for tests: its licence forbids shipping the real server.

`double_store` answers requests like Elasticsearch, for the part of its API that the connector uses;
`http_front` serves it, or a real server behind it, over HTTP and HTTPS with failures on request.
"""
