-- id: findings
-- title: One row per finding, unscored
-- params: none
-- columns: see the last SELECT; times in UTC
-- order: finding
--
-- Refusals that no requirement asks for are a finding when they last, or end what worked.
WITH outside_tags AS (
    SELECT finding, sum(h['tuples']) AS tuples
    FROM (SELECT finding, unnest(hours) AS h FROM denied WHERE is_unlisted)
    GROUP BY finding
),
let_in AS (
    SELECT DISTINCT direction, peer, port, protocol FROM contacts
),
strangers AS (
    SELECT
        r.finding,
        bool_and(NOT is_tagged(r.peer) AND l.peer IS NULL) AS are_strangers,
        sum(r.tuples) AS tuples
    FROM refused_peers r
    LEFT JOIN let_in l ON l.direction = r.direction AND l.peer = r.peer AND l.port = r.port AND l.protocol = r.protocol
    WHERE r.direction = 'inbound'
    GROUP BY r.finding
),
allowed AS (
    SELECT
        s.finding,
        sum(CASE WHEN a.last > s.last_denied - INTERVAL '24 hours' AND a.first <= s.last_denied THEN a.tuples ELSE 0 END)
            AS allowed_24h,
        sum(CASE WHEN a.last > s.first_denied THEN a.tuples ELSE 0 END) AS allowed_since_first_denied,
        -- An allowed flow after the first denial of R and not after the last one.
        bool_or(s.first_denied_24h < s.last_denied AND a.last > s.first_denied_24h AND a.first <= s.last_denied)
            AS is_partly_allowed,
        max(a.last) AS last_allowed,
        max(a.last_before) AS last_allowed_before,
        min(CASE WHEN a.first > s.last_denied THEN a.first WHEN a.last > s.last_denied THEN a.last END) AS first_allowed_after
    FROM finding_spans s
    JOIN allowed_hours a ON a.finding = s.finding
    GROUP BY s.finding
),
-- The day up to the last new allowed flow: its rate tells how many were due since.
rates AS (
    SELECT
        a.finding,
        sum(h.tuples) AS tuples,
        CAST(a.last_allowed AS BIGINT) - CAST(greatest(min(h.first), a.last_allowed - INTERVAL '24 hours') AS BIGINT) AS span
    FROM allowed a
    JOIN allowed_hours h ON h.finding = a.finding AND h.last > a.last_allowed - INTERVAL '24 hours'
    GROUP BY a.finding, a.last_allowed
),
-- From the first refusal after it.
shut AS (
    SELECT a.finding, min(CASE WHEN d.first > a.last_allowed THEN d.first ELSE a.last_allowed END) AS since
    FROM allowed a
    JOIN finding_hours d ON d.finding = a.finding AND d.last > a.last_allowed
    GROUP BY a.finding
),
outages AS (
    SELECT
        k.finding,
        e.last_flow >= u.since + INTERVAL '1 hour'
            AND t.tuples * (CAST(e.last_flow AS BIGINT) - CAST(u.since AS BIGINT)) >= 5 * greatest(t.span, 3600000)
            AS is_outage
    FROM finding_keys k
    JOIN shut u ON u.finding = k.finding
    JOIN rates t ON t.finding = k.finding
    JOIN subnet_ends e ON e.subnet = k.subnet
)
SELECT
    k.finding, k.candidates, k.direction, k.vantage, k.subnet, k.acl, k.rule, k.rule_origin, k.address, k.primary_id, k.impact,
    k.is_external_only, k.all_from_internet, k.certainty, k.unknown_count, k.is_named, k.needs_correction, k.protocol, k.ports,
    s.denied_tuples, s.first_denied, s.last_denied, s.denied_tuples_24h, s.first_denied_24h,
    coalesce(a.allowed_24h, 0) AS allowed_24h,
    coalesce(a.allowed_since_first_denied, 0) AS allowed_since_first_denied,
    a.last_allowed_before, a.first_allowed_after,
    l.has_all_contacts,
    coalesce(u.tuples, 0) AS unlisted_tuples,
    CASE
        WHEN NOT l.has_allowed THEN 'share-unknown'
        WHEN a.last_allowed >= s.last_denied + INTERVAL '1 hour' THEN 'recovered'
        WHEN coalesce(a.is_partly_allowed, false) THEN 'partial'
        ELSE 'blocked'
    END AS verdict,
    coalesce(t.is_quiet, greatest(s.last_denied, coalesce(a.last_allowed, s.last_denied)) <= e.last_flow - INTERVAL '24 hours')
        AS is_quiet,
    coalesce(o.is_outage, false) AS is_outage,
    -- From addresses that may be another's; all of them are known.
    k.is_unproven AND l.has_all_contacts AND coalesce(g.tuples = s.denied_tuples, false) AS is_unproven,
    k.is_unproven AND l.has_all_contacts AND coalesce(g.are_strangers AND g.tuples = s.denied_tuples, false) AS are_strangers
FROM finding_keys k
JOIN finding_spans s ON s.finding = k.finding
JOIN subnet_ends e ON e.subnet = k.subnet
CROSS JOIN log_states l
LEFT JOIN activity t ON t.candidates = k.candidates AND t.subnet = k.subnet
LEFT JOIN allowed a ON a.finding = k.finding
LEFT JOIN outages o ON o.finding = k.finding
LEFT JOIN strangers g ON g.finding = k.finding
LEFT JOIN outside_tags u ON u.finding = k.finding
WHERE k.candidates IS NOT NULL
    OR s.denied_tuples >= 5 AND s.last_denied >= s.first_denied + INTERVAL '1 hour'
    OR a.last_allowed_before IS NOT NULL
ORDER BY k.finding
