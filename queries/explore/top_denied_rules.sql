-- id: top_denied_rules
-- title: Rules that deny the most flows
-- params: $limit integer = 20: rows to show
--         $port integer = null: only this destination port
-- columns: rule, nsg, denied_tuples, sources, destinations, ports, first_denied, last_denied, acl
-- order: denied_tuples descending, rule, acl
--
-- A tuple is one attempt: a client that retries counts again. Large numbers of addresses are estimates.
SELECT
    rule,
    min(nsg) AS nsg,
    count(*) AS denied_tuples,
    approx_distinct(src_ip) AS sources,
    approx_distinct(dst_ip) AS destinations,
    count(DISTINCT dst_port) AS ports,
    min(time) AS first_denied,
    max(time) AS last_denied,
    min(acl) AS acl
FROM flows
WHERE decision = 'deny' AND ($port IS NULL OR dst_port = $port)
GROUP BY rule, lower(acl)
ORDER BY denied_tuples DESC, rule, acl
LIMIT $limit
