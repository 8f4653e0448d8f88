-- id: logged_rules
-- title: Rules in the logs with their ACLs, the busiest first
-- params: none
-- columns: acl, rule, tuples, denied_tuples, first_flow, last_flow
-- order: tuples descending, acl, rule
WITH seen AS (
    SELECT unnest(pass['rules']) AS r FROM logged
)
SELECT
    r['acl'] AS acl, r['rule'] AS rule, r['tuples'] AS tuples, r['denied_tuples'] AS denied_tuples,
    r['first_flow'] AS first_flow, r['last_flow'] AS last_flow
FROM seen
ORDER BY tuples DESC, acl, rule
