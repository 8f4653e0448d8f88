-- id: log_states
-- title: What the logs in scope are made of
-- params: none
-- columns: has_begin (of allowed flows), has_allowed, has_all_contacts
-- order: one row
WITH flows AS (
    SELECT
        coalesce(bool_or(state = 'begin'), false) AS has_begin,
        coalesce(bool_or(decision = 'allow'), false) AS has_allowed
    FROM flow_groups
)
SELECT f.has_begin, f.has_allowed, p.pass['has_all_contacts'] AS has_all_contacts
FROM flows f CROSS JOIN flow_pass p
