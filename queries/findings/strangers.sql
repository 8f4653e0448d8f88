-- id: strangers
-- title: Addresses of the scope that answer on ports which no requirement names
-- params: none
-- columns: ip, flows (answered and ended)
-- order: flows descending, ip
WITH ended AS (
    SELECT unnest(g.locals) AS l
    FROM flow_groups g
    JOIN quality q ON q.group_id = g.group_id AND q.is_vnet
    WHERE g.direction = 'inbound'
        AND g.decision = 'allow'
        AND g.state = 'end'
        AND g.answer IN ('answered', 'heard')
        AND g.port IS NULL
)
SELECT ip_text(l['ip']) AS ip, sum(l['tuples']) AS flows
FROM ended
GROUP BY l['ip']
HAVING sum(l['tuples']) >= 10
ORDER BY flows DESC, ip
