-- id: rules_not_matched
-- title: Rules that matched no flow in a time span
-- params: $from time: start of the span
--         $to time = null: end of the span, exclusive; null for the end of the logs
-- columns: rule, nsg, tuples, first_flow, last_flow, acl
-- order: last_flow, rule, acl
--
-- The other columns say when the rules did match, outside the span. A rule that never matched is in no log and so not listed:
-- read logs from well before the span.
SELECT
    rule,
    min(nsg) AS nsg,
    count(*) AS tuples,
    min(time) AS first_flow,
    max(time) AS last_flow,
    min(acl) AS acl
FROM flows
GROUP BY rule, lower(acl)
HAVING count(*) FILTER (WHERE time >= $from AND ($to IS NULL OR time < $to)) = 0
ORDER BY last_flow, rule, acl
