-- The system's own processes: number of starts and newest event of each, in the order of the log,
-- which a clock that was ahead does not change.
SELECT
    process, count(*) FILTER (event = 'started') AS starts, arg_max(event, rowid) AS event,
    arg_max(pid, rowid) AS pid, arg_max(ts, rowid) AS ts
FROM processes
GROUP BY process
