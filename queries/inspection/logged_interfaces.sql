-- id: logged_interfaces
-- title: Interfaces in the logs, the busiest first
-- params: none
-- columns: mac, tuples, denied_tuples, first_flow, last_flow
-- order: tuples descending, mac
SELECT
    mac,
    sum(tuples) AS tuples,
    coalesce(sum(tuples) FILTER (WHERE decision = 'deny'), 0) AS denied_tuples,
    min(first_flow) AS first_flow,
    max(last_flow) AS last_flow
FROM logged
GROUP BY mac
ORDER BY tuples DESC, mac
