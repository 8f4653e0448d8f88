-- id: configured_rules_unused
-- title: Configured rules that decided on no flow of the logs
-- params: none
-- columns: acl_name, rule, priority, direction, access, shadowed_by, description
-- order: acl_name, direction, priority, rule
--
-- Needs the option for exported rules. A rule that never decides may be needed for flows that are rare, or stand behind another one
-- (shadowed_by). Default rules are left out.
SELECT
    r.acl_name,
    r.rule,
    r.priority,
    r.direction,
    r.access,
    r.shadowed_by,
    r.description
FROM nsg_rules AS r
LEFT JOIN (SELECT DISTINCT lower(rule) AS rule, lower(nsg) AS nsg FROM flows) AS f
    ON f.rule = lower(r.log_rule) AND f.nsg = lower(r.acl_name)
WHERE f.rule IS NULL AND r.origin = 'user'
ORDER BY acl_name, direction, priority, rule
