-- The question of run.py.
SELECT
    rule, dst_port, protocol, direction,
    count(*) AS tuples, count(DISTINCT dst_ip) AS destinations,
    CAST(min(time) AS BIGINT) AS first_ms, CAST(max(time) AS BIGINT) AS last_ms
FROM flows
WHERE decision = 'deny'
GROUP BY rule, dst_port, protocol, direction
ORDER BY rule, dst_port, protocol, direction
