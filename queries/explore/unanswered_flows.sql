-- id: unanswered_flows
-- title: Outbound connections that are allowed but get no answer
-- params: $limit integer = 20: rows to show
--         $least integer = 5: minimum number of unanswered tuples
-- columns: dst_ip, service_tag, dst_port, rule, nsg, tuples, unanswered_tuples, percent, sources, first_unanswered, last_unanswered, acl
-- order: unanswered_tuples descending, dst_ip, dst_port, rule, acl
--
-- No rule refuses these connections, yet at least half of them get no answer: check routes, firewalls on the way and the far
-- end. NSG logs often do not count the return traffic, so an ACL in NSG logs is used only if a fifth of its tuples has answers.
-- Tuples without counters and the platform's own flows are left out.
WITH counted AS (
    SELECT
        dst_ip,
        dst_port,
        rule,
        lower(acl) AS acl_key,
        encryption IS NOT NULL AS is_reliable,
        min(nsg) AS nsg,
        min(acl) AS acl,
        count(*) AS tuples,
        count(*) FILTER (WHERE packets_received = 0) AS unanswered_tuples,
        approx_distinct(src_ip) FILTER (WHERE packets_received = 0) AS sources,
        min(time) FILTER (WHERE packets_received = 0) AS first_unanswered,
        max(time) FILTER (WHERE packets_received = 0) AS last_unanswered
    FROM flows
    WHERE decision = 'allow'
        AND direction = 'outbound'
        AND protocol = 'TCP'
        AND state IN ('continue', 'end')
        AND packets_sent > 0
        AND packets_received IS NOT NULL
        AND NOT starts_with(rule, 'PlatformRule')
    GROUP BY dst_ip, dst_port, rule, lower(acl), encryption IS NOT NULL
),
judged AS (
    SELECT
        *,
        sum(tuples) OVER (PARTITION BY acl_key, is_reliable) AS acl_tuples,
        sum(tuples - unanswered_tuples) OVER (PARTITION BY acl_key, is_reliable) AS acl_answered
    FROM counted
)
SELECT
    dst_ip,
    service_tag(dst_ip) AS service_tag,
    dst_port,
    rule,
    nsg,
    tuples,
    unanswered_tuples,
    100 * unanswered_tuples / tuples AS percent,
    sources,
    first_unanswered,
    last_unanswered,
    acl
FROM judged
WHERE (is_reliable OR 5 * acl_answered >= acl_tuples)
    AND 2 * unanswered_tuples >= tuples
    AND unanswered_tuples >= $least
ORDER BY unanswered_tuples DESC, dst_ip, dst_port, rule, acl, is_reliable
LIMIT $limit
