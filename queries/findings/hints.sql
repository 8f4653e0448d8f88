-- id: hints
-- title: What denials that no requirement asks for may be: of each listed one, and of the busiest peer of each finding
-- params: none
-- columns: nr (of unmatched; of a finding, less than zero), is_platform (Azure's own host address), is_inside (private, or of the
--          network), required and optional (ids of services that may have a private endpoint there), edition, id, purpose (a row
--          of another edition), notes (purposes that the edition names in prose)
-- order: nr
WITH peers AS (
    SELECT d.finding, d.direction, d.subnet, d.port, d.protocol, unnest(d.peers) AS p
    FROM denied d
    WHERE d.candidates IS NULL AND d.finding IN (SELECT finding FROM findings)
),
busiest AS (
    SELECT
        -finding AS nr, direction, port, protocol,
        ip_text(first_value(p['ip'] ORDER BY p['tuples'] DESC, p['ip'])) AS remote
    FROM peers
    GROUP BY finding, direction, port, protocol
),
asked AS (
    SELECT CAST(nr AS BIGINT) AS nr, direction, port, protocol, remote FROM unmatched
    UNION ALL
    SELECT nr, direction, port, protocol, remote FROM busiest
),
placed AS (
    SELECT
        *,
        tag_test(remote, 'Internet') = 'no' AS is_inside,
        tag_test(remote, 'AzureLoadBalancer') = 'yes' AS is_platform
    FROM asked
),
fitting AS (
    SELECT
        a.nr, a.direction, a.is_inside, h.kind, h.edition, h.edition_rank, h.id, h.purpose, h.tag_kind, h.is_required,
        tag_test(a.remote, h.tag) AS answer
    FROM placed a
    JOIN hint_matches h
        ON h.direction = a.direction
        AND h.protocol = a.protocol
        AND a.port BETWEEN h.port_low AND h.port_high
),
notes AS (
    SELECT nr, string_agg(DISTINCT purpose, ', ' ORDER BY purpose) AS notes
    FROM fitting
    WHERE kind = 'note' AND answer IN ('yes', 'unknown', 'unlisted')
    GROUP BY nr
),
others AS (
    SELECT
        nr,
        first_value(edition ORDER BY edition_rank, id) AS edition,
        first_value(id ORDER BY edition_rank, id) AS id,
        first_value(purpose ORDER BY edition_rank, id) AS purpose
    FROM fitting
    WHERE kind = 'other-edition' AND answer IN ('yes', 'unknown', 'unlisted')
    GROUP BY nr
),
endpoints AS (
    SELECT
        nr,
        string_agg(DISTINCT id, ',' ORDER BY id) FILTER (WHERE is_required) AS required,
        string_agg(DISTINCT id, ',' ORDER BY id) FILTER (WHERE NOT is_required) AS optional
    FROM fitting
    WHERE kind = 'row' AND tag_kind = 'named' AND is_inside AND direction = 'outbound'
    GROUP BY nr
)
SELECT p.nr, p.is_platform, p.is_inside, e.required, e.optional, o.edition, o.id, o.purpose, n.notes
FROM placed p
LEFT JOIN notes n ON n.nr = p.nr
LEFT JOIN others o ON o.nr = p.nr
LEFT JOIN endpoints e ON e.nr = p.nr
ORDER BY p.nr
