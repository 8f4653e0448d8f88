-- id: findings
-- title: One row per finding, unscored
-- params: none
-- columns: see the last SELECT; times in UTC
-- order: finding
--
-- R, the 24 hours up to the last denial, is made of the hours that reach into it.
WITH denied_hours AS (
    SELECT finding, unnest(hours) AS h FROM denied
),
spans AS (
    SELECT
        finding,
        sum(h['tuples']) AS denied_tuples,
        min(h['first']) AS first_denied,
        max(h['last']) AS last_denied
    FROM denied_hours
    GROUP BY finding
),
recent AS (
    SELECT
        s.finding,
        sum(d.h['tuples']) AS denied_tuples_24h,
        min(CASE WHEN d.h['first'] > s.last_denied - INTERVAL '24 hours' THEN d.h['first'] ELSE d.h['last'] END) AS first_denied_24h
    FROM spans s
    JOIN denied_hours d ON d.finding = s.finding
    WHERE d.h['last'] > s.last_denied - INTERVAL '24 hours'
    GROUP BY s.finding
),
keys AS (
    SELECT
        finding, candidates, direction, vantage, subnet, lower(acl) AS acl_key, rule,
        min(acl) AS acl,
        min(rule_origin) AS rule_origin,
        first_value(primary_id ORDER BY certainty DESC, primary_id) AS primary_id,
        max(impact) AS impact,
        bool_or(is_external_only) AS is_external_only,
        bool_and(all_from_internet) AS all_from_internet,
        max(certainty) AS certainty,
        min(unknown_count) AS unknown_count,
        bool_or(is_named) AS is_named,
        bool_or(needs_correction) AS needs_correction,
        array_to_string(array_sort(array_agg(DISTINCT protocol)), '+') AS protocol,
        array_sort(array_agg(DISTINCT port) FILTER (WHERE port IS NOT NULL)) AS ports
    FROM denied
    GROUP BY finding, candidates, direction, vantage, subnet, lower(acl), rule
),
unlisted AS (
    SELECT finding, sum(h['tuples']) AS tuples
    FROM (SELECT finding, unnest(hours) AS h FROM denied WHERE is_unlisted)
    GROUP BY finding
),
logged AS (
    SELECT
        coalesce(bool_or(state = 'begin'), false) AS has_begin,
        coalesce(bool_or(decision = 'allow'), false) AS has_allowed
    FROM matched
),
new_allowed AS (
    SELECT m.candidates, m.direction, m.subnet, unnest(m.hours) AS h
    FROM matched m CROSS JOIN logged l
    WHERE m.candidates IS NOT NULL
        AND m.decision = 'allow'
        AND m.rule_origin <> 'platform'
        AND (m.state = 'begin' OR m.state IS NULL OR NOT l.has_begin)
),
allowed AS (
    SELECT
        k.finding,
        sum(CASE WHEN a.h['last'] > s.last_denied - INTERVAL '24 hours' AND a.h['first'] <= s.last_denied
            THEN a.h['tuples'] ELSE 0 END) AS allowed_24h,
        -- An allowed flow after the first denial of R and not after the last one.
        bool_or(r.first_denied_24h < s.last_denied AND a.h['last'] > r.first_denied_24h AND a.h['first'] <= s.last_denied)
            AS is_partly_allowed,
        max(a.h['last']) AS last_allowed,
        max(CASE WHEN a.h['last'] < s.first_denied THEN a.h['last']
            WHEN a.h['first'] < s.first_denied THEN a.h['first'] END) AS last_allowed_before,
        min(CASE WHEN a.h['first'] > s.last_denied THEN a.h['first']
            WHEN a.h['last'] > s.last_denied THEN a.h['last'] END) AS first_allowed_after
    FROM keys k
    JOIN spans s ON s.finding = k.finding
    JOIN recent r ON r.finding = k.finding
    JOIN new_allowed a ON a.candidates = k.candidates AND a.direction = k.direction AND a.subnet = k.subnet
    GROUP BY k.finding
)
SELECT
    k.finding, k.candidates, k.direction, k.vantage, k.subnet, k.acl, k.rule, k.rule_origin, k.primary_id, k.impact,
    k.is_external_only, k.all_from_internet, k.certainty, k.unknown_count, k.is_named, k.needs_correction, k.protocol, k.ports,
    s.denied_tuples, s.first_denied, s.last_denied, r.denied_tuples_24h, r.first_denied_24h,
    coalesce(a.allowed_24h, 0) AS allowed_24h,
    a.last_allowed_before, a.first_allowed_after,
    coalesce(u.tuples, 0) AS unlisted_tuples,
    CASE
        WHEN NOT l.has_allowed THEN 'share-unknown'
        WHEN a.last_allowed >= s.last_denied + INTERVAL '1 hour' THEN 'recovered'
        WHEN coalesce(a.is_partly_allowed, false) THEN 'partial'
        ELSE 'blocked'
    END AS verdict,
    t.is_quiet
FROM keys k
JOIN spans s ON s.finding = k.finding
JOIN recent r ON r.finding = k.finding
JOIN activity t ON t.candidates = k.candidates AND t.subnet = k.subnet
CROSS JOIN logged l
LEFT JOIN allowed a ON a.finding = k.finding
LEFT JOIN unlisted u ON u.finding = k.finding
ORDER BY k.finding
