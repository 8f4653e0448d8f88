-- id: denied_timeline
-- title: Denied flows over time, with the rule that denied most of them
-- params: $step text = hour: minute, hour, day or week
--         $port integer = null: only this destination port
-- columns: time, denied_tuples, inbound, outbound, bar, top_rule, top_nsg, top_rule_tuples, top_acl
-- order: time
--
-- A step without denials has no row. The longest bar has ten blocks.
WITH by_rule AS (
    SELECT
        date_trunc($step, time) AS step,
        rule,
        min(acl) AS acl,
        min(nsg) AS nsg,
        count(*) AS tuples,
        count(*) FILTER (WHERE direction = 'inbound') AS inbound
    FROM flows
    WHERE decision = 'deny' AND ($port IS NULL OR dst_port = $port)
    GROUP BY step, rule, lower(acl)
)
SELECT
    step AS time,
    sum(tuples) AS denied_tuples,
    sum(inbound) AS inbound,
    sum(tuples - inbound) AS outbound,
    repeat('█', CAST(ceil(10.0 * sum(tuples) / max(sum(tuples)) OVER ()) AS bigint)) AS bar,
    first_value(rule ORDER BY tuples DESC, rule, acl) AS top_rule,
    first_value(nsg ORDER BY tuples DESC, rule, acl) AS top_nsg,
    max(tuples) AS top_rule_tuples,
    first_value(acl ORDER BY tuples DESC, rule, acl) AS top_acl
FROM by_rule
GROUP BY step
ORDER BY time
