-- The system's own processes: how often each was started, and what was last told of it.
SELECT
    process, count(*) FILTER (event = 'started') AS starts, arg_max(event, ts) AS event,
    arg_max(pid, ts) AS pid, arg_max(ts, ts) AS ts
FROM processes
GROUP BY process
