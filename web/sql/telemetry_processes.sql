-- The system's own processes: number of starts and newest event of each.
SELECT
    process, count(*) FILTER (event = 'started') AS starts, arg_max(event, ts) AS event,
    arg_max(pid, ts) AS pid, arg_max(ts, ts) AS ts
FROM processes
GROUP BY process
