-- id: unanswered_findings
-- title: One row per allowed dependency that mostly gets no answer, unscored
-- params: none
-- columns: see the last SELECT; times in UTC
-- order: finding
WITH hours AS (
    SELECT key, answer, unnest(hours) AS h FROM unanswered
),
counts AS (
    SELECT
        key,
        sum(h['tuples']) AS connections,
        coalesce(sum(h['tuples']) FILTER (WHERE answer = 'unanswered'), 0) AS unanswered,
        min(h['first']) FILTER (WHERE answer = 'unanswered') AS first_unanswered,
        max(h['last']) FILTER (WHERE answer = 'unanswered') AS last_unanswered,
        max(h['last']) FILTER (WHERE answer = 'answered') AS last_answered
    FROM hours
    GROUP BY key
    HAVING sum(h['tuples']) >= 5 AND 2 * sum(h['tuples']) FILTER (WHERE answer = 'unanswered') >= sum(h['tuples'])
),
before AS (
    SELECT
        c.key,
        max(CASE WHEN h.h['last'] < c.first_unanswered THEN h.h['last']
            WHEN h.h['first'] < c.first_unanswered THEN h.h['first'] END) AS last_answered_before,
        min(CASE WHEN h.h['first'] > c.last_unanswered THEN h.h['first']
            WHEN h.h['last'] > c.last_unanswered THEN h.h['last'] END) AS first_answered_after
    FROM counts c
    JOIN hours h ON h.key = c.key AND h.answer = 'answered'
    GROUP BY c.key
),
keys AS (
    SELECT
        key, candidates, direction, vantage, subnet, rule,
        min(acl) AS acl,
        min(rule_origin) AS rule_origin,
        max(impact) AS impact,
        bool_or(is_external_only) AS is_external_only,
        bool_or(is_named) AS is_named,
        max(certainty) AS certainty,
        bool_or(needs_correction) AS needs_correction,
        array_to_string(array_sort(array_agg(DISTINCT protocol)), '+') AS protocol,
        array_sort(array_agg(DISTINCT port) FILTER (WHERE port IS NOT NULL)) AS ports
    FROM unanswered
    WHERE answer = 'unanswered'
    GROUP BY key, candidates, direction, vantage, subnet, rule
)
SELECT
    k.key AS finding, k.candidates, k.direction, k.vantage, k.subnet, k.acl, k.rule, k.rule_origin, k.candidates AS primary_id,
    k.impact, k.is_external_only, k.is_named, k.certainty, k.needs_correction, k.protocol, k.ports,
    c.connections, c.unanswered, c.first_unanswered, c.last_unanswered, b.last_answered_before, b.first_answered_after,
    coalesce(c.last_answered >= c.last_unanswered + INTERVAL '1 hour', false) AS is_recovered,
    a.is_quiet
FROM keys k
JOIN counts c ON c.key = k.key
JOIN activity a ON a.candidates = k.candidates AND a.subnet = k.subnet
LEFT JOIN before b ON b.key = k.key
ORDER BY k.key
