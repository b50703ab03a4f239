-- The name of every server.
SELECT server FROM servers ORDER BY server
