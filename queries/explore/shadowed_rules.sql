-- id: shadowed_rules
-- title: Configured rules that never decide, because one before them matches all of their flows
-- params: none
-- columns: acl_name, direction, rule, priority, access, shadowed_by, by_priority, by_access
-- order: acl_name, direction, priority, rule
--
-- Needs the option for exported rules. A rule that several others hide together is not listed.
SELECT
    r.acl_name,
    r.direction,
    r.rule,
    r.priority,
    r.access,
    r.shadowed_by,
    b.priority AS by_priority,
    b.access AS by_access
FROM nsg_rules AS r
JOIN nsg_rules AS b
    ON b.acl_name = r.acl_name AND b.layer = r.layer AND b.direction = r.direction AND b.rule = r.shadowed_by
ORDER BY acl_name, direction, priority, rule
