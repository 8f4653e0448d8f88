-- id: logged_interfaces
-- title: Interfaces in the logs, the busiest first
-- params: none
-- columns: mac, tuples, denied_tuples, first_flow, last_flow, locals (ip, tuples)
-- order: tuples descending, mac
WITH seen AS (
    SELECT unnest(pass['interfaces']) AS i FROM logged
)
SELECT
    i['mac'] AS mac, i['tuples'] AS tuples, i['denied_tuples'] AS denied_tuples, i['first_flow'] AS first_flow,
    i['last_flow'] AS last_flow, i['locals'] AS locals
FROM seen
ORDER BY tuples DESC, mac
