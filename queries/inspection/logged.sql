-- id: logged
-- title: Flows by interface, ACL, rule and decision
-- params: none
-- columns: mac, acl, rule, decision, tuples, first_flow, last_flow
-- order: none
SELECT
    upper(coalesce(mac, '')) AS mac, min(acl) AS acl, rule, decision,
    count(*) AS tuples, min(time) AS first_flow, max(time) AS last_flow
FROM flows
GROUP BY upper(coalesce(mac, '')), lower(acl), rule, decision
