-- id: findings
-- title: One row per finding, unscored
-- params: none
-- columns: see the last SELECT; times in UTC
-- order: finding
--
-- R, the 24 hours up to the last denial, is made of the hours whose flows reach into it. Candidates are null where no requirement
-- asks for the flows; then what is compared are the flows that the same peers were allowed on that port. Such refusals are
-- a finding when they last, or end what worked.
WITH each_hour AS (
    SELECT finding, unnest(hours) AS h FROM denied
),
denied_hours AS (
    SELECT finding, h['hour'] AS hour, sum(h['tuples']) AS tuples, min(h['first']) AS first, max(h['last']) AS last
    FROM each_hour
    GROUP BY finding, h['hour']
),
spans AS (
    SELECT finding, sum(tuples) AS denied_tuples, min(first) AS first_denied, max(last) AS last_denied
    FROM denied_hours
    GROUP BY finding
),
recent AS (
    SELECT
        s.finding,
        sum(d.tuples) AS denied_tuples_24h,
        min(CASE WHEN d.first > s.last_denied - INTERVAL '24 hours' THEN d.first ELSE d.last END) AS first_denied_24h
    FROM spans s
    JOIN denied_hours d ON d.finding = s.finding
    WHERE d.last > s.last_denied - INTERVAL '24 hours'
    GROUP BY s.finding
),
keys AS (
    SELECT
        finding, candidates, direction, vantage, subnet, lower(acl) AS acl_key, rule, address,
        min(acl) AS acl,
        min(rule_origin) AS rule_origin,
        first_value(primary_id ORDER BY certainty DESC, primary_id) AS primary_id,
        max(impact) AS impact,
        bool_or(is_external_only) AS is_external_only,
        bool_and(all_from_internet) AS all_from_internet,
        max(certainty) AS certainty,
        min(unknown_count) AS unknown_count,
        coalesce(bool_and(unknown_count = candidate_count), false) AS is_unproven,
        bool_or(is_named) AS is_named,
        bool_or(needs_correction) AS needs_correction,
        array_to_string(array_sort(array_agg(DISTINCT protocol)), '+') AS protocol,
        array_sort(array_agg(DISTINCT port) FILTER (WHERE port IS NOT NULL)) AS ports
    FROM denied
    GROUP BY finding, candidates, direction, vantage, subnet, lower(acl), rule, address
),
outside_tags AS (
    SELECT finding, sum(h['tuples']) AS tuples
    FROM (SELECT finding, unnest(hours) AS h FROM denied WHERE is_unlisted)
    GROUP BY finding
),
denied_peers AS (
    SELECT finding, direction, subnet, port, protocol, unnest(peers) AS p
    FROM denied
    WHERE candidates IS NULL OR direction = 'inbound' AND unknown_count = candidate_count
),
refused_peers AS (
    SELECT
        finding, direction, subnet, port, protocol, p['ip'] AS peer,
        sum(p['tuples']) AS tuples,
        min(p['first']) AS first_denied
    FROM denied_peers
    GROUP BY finding, direction, subnet, port, protocol, p['ip']
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
new_flows AS (
    SELECT m.candidates, m.direction, m.subnet, unnest(m.hours) AS h
    FROM matched m CROSS JOIN log_states l
    WHERE m.candidates IS NOT NULL
        AND m.decision = 'allow'
        AND m.rule_origin <> 'platform'
        AND (m.state = 'begin' OR m.state IS NULL OR NOT l.has_begin)
),
new_allowed AS (
    SELECT
        candidates, direction, subnet, h['hour'] AS hour,
        sum(h['tuples']) AS tuples, min(h['first']) AS first, max(h['last']) AS last
    FROM new_flows
    GROUP BY candidates, direction, subnet, h['hour']
),
new_contacts AS (
    SELECT c.direction, subnet_of(c.local_ip) AS subnet, c.peer, c.port, c.protocol, unnest(c.hours) AS h
    FROM contacts c CROSS JOIN log_states l
    WHERE c.is_new OR NOT l.has_begin
),
-- With the first denial that each allowed flow may lie before: of the finding, or of the same peer. What no requirement asks
-- for, and an address that keeps coming, are compared with flows of the same peers alone.
allowed_flows AS (
    SELECT k.finding, a.hour, a.tuples, a.first, a.last, s.first_denied AS before
    FROM keys k
    JOIN spans s ON s.finding = k.finding
    JOIN new_allowed a ON a.candidates = k.candidates AND a.direction = k.direction AND a.subnet = k.subnet
    WHERE k.address IS NULL
    UNION ALL
    SELECT r.finding, c.h['hour'], sum(c.h['tuples']), min(c.h['first']), max(c.h['last']), r.first_denied
    FROM refused_peers r
    JOIN keys k ON k.finding = r.finding AND (k.candidates IS NULL OR k.address IS NOT NULL)
    JOIN new_contacts c
        ON c.direction = r.direction
        AND c.subnet = r.subnet
        AND c.peer = r.peer
        AND c.port = r.port
        AND c.protocol = r.protocol
    GROUP BY r.finding, r.direction, r.subnet, r.peer, r.port, r.protocol, r.first_denied, c.h['hour']
),
allowed_hours AS (
    SELECT
        finding, hour, sum(tuples) AS tuples, min(first) AS first, max(last) AS last,
        max(CASE WHEN last < before THEN last WHEN first < before THEN first END) AS last_before
    FROM allowed_flows
    GROUP BY finding, hour
),
allowed AS (
    SELECT
        s.finding,
        sum(CASE WHEN a.last > s.last_denied - INTERVAL '24 hours' AND a.first <= s.last_denied THEN a.tuples ELSE 0 END)
            AS allowed_24h,
        sum(CASE WHEN a.last > s.first_denied THEN a.tuples ELSE 0 END) AS allowed_since_first_denied,
        -- An allowed flow after the first denial of R and not after the last one.
        bool_or(r.first_denied_24h < s.last_denied AND a.last > r.first_denied_24h AND a.first <= s.last_denied)
            AS is_partly_allowed,
        max(a.last) AS last_allowed,
        max(a.last_before) AS last_allowed_before,
        min(CASE WHEN a.first > s.last_denied THEN a.first WHEN a.last > s.last_denied THEN a.last END) AS first_allowed_after
    FROM spans s
    JOIN recent r ON r.finding = s.finding
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
    JOIN denied_hours d ON d.finding = a.finding AND d.last > a.last_allowed
    GROUP BY a.finding
),
outages AS (
    SELECT
        k.finding,
        e.last_flow >= u.since + INTERVAL '1 hour'
            AND t.tuples * (CAST(e.last_flow AS BIGINT) - CAST(u.since AS BIGINT)) >= 5 * greatest(t.span, 3600000)
            AS is_outage
    FROM keys k
    JOIN shut u ON u.finding = k.finding
    JOIN rates t ON t.finding = k.finding
    JOIN subnet_ends e ON e.subnet = k.subnet
)
SELECT
    k.finding, k.candidates, k.direction, k.vantage, k.subnet, k.acl, k.rule, k.rule_origin, k.address, k.primary_id, k.impact,
    k.is_external_only, k.all_from_internet, k.certainty, k.unknown_count, k.is_named, k.needs_correction, k.protocol, k.ports,
    s.denied_tuples, s.first_denied, s.last_denied, r.denied_tuples_24h, r.first_denied_24h,
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
FROM keys k
JOIN spans s ON s.finding = k.finding
JOIN recent r ON r.finding = k.finding
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
