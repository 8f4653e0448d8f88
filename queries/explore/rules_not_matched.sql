-- id: rules_not_matched
-- title: Rules that matched nothing in a span of time
-- params: $from time: start of the span
--         $to time = null: its end, which is not in it; null for the end of the logs
-- columns: rule, acl, tuples, first_flow, last_flow
-- order: last_flow, rule, acl
--
-- The rest says when they did match, outside of the span. A rule that never matched is in no log, and so not here: read
-- logs from well before the span.
SELECT
    rule,
    min(acl) AS acl,
    count(*) AS tuples,
    min(time) AS first_flow,
    max(time) AS last_flow
FROM flows
GROUP BY rule, lower(acl)
HAVING count(*) FILTER (WHERE time >= $from AND ($to IS NULL OR time < $to)) = 0
ORDER BY last_flow, rule, acl
