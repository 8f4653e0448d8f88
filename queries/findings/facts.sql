-- id: facts
-- title: What the logs in scope are made of, for the notices
-- params: none
-- columns: has_begin, has_state (of allowed flows), has_identifying (a flow on a port that hardly anything else uses),
--          unreliable_acls (NSG logs that count nothing on the way back), double_hours and double_ips (local addresses and hours
--          that both kinds of log captured)
-- order: one row
WITH identifying AS (
    SELECT count(*) > 0 AS has_identifying
    FROM flow_groups g
    JOIN requirement_matches m
        ON m.is_identifying AND m.protocol = g.protocol AND g.port BETWEEN m.port_low AND m.port_high
),
unreliable AS (
    SELECT count(DISTINCT lower(g.acl)) AS unreliable_acls
    FROM flow_groups g
    JOIN quality q ON q.group_id = g.group_id AND NOT q.is_reliable
    WHERE g.decision = 'allow' AND g.state IN ('continue', 'end') AND g.answer IN ('answered', 'unanswered')
),
states AS (
    SELECT
        coalesce(bool_or(state = 'begin'), false) AS has_begin,
        coalesce(bool_or(decision = 'allow' AND state IS NOT NULL), false) AS has_state
    FROM flow_groups
)
SELECT has_begin, has_state, has_identifying, unreliable_acls, double_hours, double_ips
FROM states CROSS JOIN identifying CROSS JOIN unreliable CROSS JOIN captured_twice
