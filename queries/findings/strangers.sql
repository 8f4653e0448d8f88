-- id: strangers
-- title: Addresses of the scope that answer on ports which no requirement names
-- params: none
-- columns: ip, flows (answered and ended)
-- order: flows descending, ip
WITH ended AS (
    SELECT g.local_ip AS ip, unnest(g.hours) AS h
    FROM flow_groups g
    JOIN quality q ON q.group_id = g.group_id AND q.is_vnet
    WHERE g.direction = 'inbound'
        AND g.decision = 'allow'
        AND g.state = 'end'
        AND g.answer IN ('answered', 'heard')
        AND g.port IS NULL
)
SELECT ip, sum(h['tuples']) AS flows
FROM ended
GROUP BY ip
HAVING sum(h['tuples']) >= 10
ORDER BY flows DESC, ip
