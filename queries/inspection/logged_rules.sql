-- id: logged_rules
-- title: Rules in the logs with their ACLs, the busiest first
-- params: none
-- columns: acl, rule, tuples, denied_tuples, first_flow, last_flow
-- order: tuples descending, acl, rule
SELECT
    min(acl) AS acl, rule,
    sum(tuples) AS tuples,
    coalesce(sum(tuples) FILTER (WHERE decision = 'deny'), 0) AS denied_tuples,
    min(first_flow) AS first_flow,
    max(last_flow) AS last_flow
FROM logged
GROUP BY lower(acl), rule
ORDER BY tuples DESC, acl, rule
