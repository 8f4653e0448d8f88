-- id: silences
-- title: Requirements that were let through, and whose flows ended before the logs did
-- params: none
-- columns: requirement, subnet, silent_since (the last flow)
-- order: requirement, subnet
--
-- Silent for an hour or more and for three times the longest gap before, after flows in three hours or five steps of ten
-- minutes. Gaps within a step are shorter than ten minutes, so they never decide.
WITH own AS (
    SELECT m.primary_id AS requirement, m.subnet, unnest(m.steps) AS s
    FROM matched m
    WHERE m.decision = 'allow' AND m.rule_origin <> 'platform' AND m.candidates IS NOT NULL AND m.unknown_count <= 1
),
steps AS (
    SELECT requirement, subnet, s['hour'] AS step, min(s['first']) AS first, max(s['last']) AS last
    FROM own
    GROUP BY requirement, subnet, s['hour']
),
gaps AS (
    SELECT
        requirement, subnet, step, last,
        CAST(first AS BIGINT) - CAST(lag(last) OVER (PARTITION BY requirement, subnet ORDER BY step) AS BIGINT) AS gap
    FROM steps
),
courses AS (
    SELECT
        requirement, subnet,
        max(last) AS last_flow,
        coalesce(max(gap), 0) AS longest_gap,
        count(*) AS steps,
        count(DISTINCT date_trunc('hour', step)) AS hours
    FROM gaps
    GROUP BY requirement, subnet
),
silent AS (
    SELECT c.*, CAST(e.last_flow AS BIGINT) - CAST(c.last_flow AS BIGINT) AS silence
    FROM courses c
    JOIN subnet_ends e ON e.subnet = c.subnet
)
SELECT requirement, subnet, last_flow AS silent_since
FROM silent
WHERE silence >= 3600000 AND silence >= 3 * longest_gap AND (hours >= 3 OR steps >= 5)
ORDER BY requirement, subnet
