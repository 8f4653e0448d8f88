-- id: coverage
-- title: What the logs hold of each requirement in each subnet
-- params: none
-- columns: requirement, subnet, denied_tuples, allowed_tuples, first_flow, last_flow, is_allowed (a flow that is its own was)
-- order: requirement, subnet
--
-- Counts every flow that has the requirement among its candidates. A flow is its own where it is the primary, and no
-- more than one candidate is unknown. What the platform lets through proves nothing.
WITH flows AS (
    SELECT
        c.id AS requirement, m.subnet, m.decision,
        m.primary_id = c.id AND m.unknown_count <= 1 AS is_own,
        unnest(m.hours) AS h
    FROM matched m
    JOIN candidates c ON c.group_id = m.group_id
    WHERE NOT (m.decision = 'allow' AND m.rule_origin = 'platform')
)
SELECT
    requirement, subnet,
    coalesce(sum(h['tuples']) FILTER (WHERE decision = 'deny'), 0) AS denied_tuples,
    coalesce(sum(h['tuples']) FILTER (WHERE decision = 'allow'), 0) AS allowed_tuples,
    min(h['first']) AS first_flow,
    max(h['last']) AS last_flow,
    bool_or(is_own AND decision = 'allow') AS is_allowed
FROM flows
GROUP BY requirement, subnet
ORDER BY requirement, subnet
