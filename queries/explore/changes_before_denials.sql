-- id: changes_before_denials
-- title: Who changed a network security group in the 24 hours before one of its rules first refused flows
-- params: none
-- columns: first_denied, rule, acl, denied_tuples, changed, actor, operation, resource, after
-- order: first_denied, rule, acl, changed descending, resource
--
-- Needs the option for the activity log. A change may take minutes to act, and clocks differ by seconds, so changes up to two
-- minutes after the first refusal count.
WITH denied AS (
    SELECT rule, min(acl) AS acl, lower(acl) AS acl_key, min(time) AS first_denied, count(*) AS denied_tuples
    FROM flows
    WHERE decision = 'deny'
    GROUP BY rule, lower(acl)
)
SELECT
    d.first_denied,
    d.rule,
    d.acl,
    d.denied_tuples,
    c.time AS changed,
    c.actor,
    c.operation,
    c.resource,
    c.after
FROM denied AS d
JOIN changes AS c
    ON starts_with(c.resource, d.acl_key)
    AND c.time <= d.first_denied + INTERVAL '2 minutes'
    AND c.time >= d.first_denied - INTERVAL '24 hours'
ORDER BY first_denied, rule, acl, changed DESC, resource
