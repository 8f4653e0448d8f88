-- id: hints
-- title: Each listed unmatched denial, and what it may be
-- params: none
-- columns: those of unmatched, notes (purposes that the edition names in prose), edition, id, purpose (a row of another edition),
--          endpoints (ids of services that may have a private endpoint there), is_platform (Azure's own host address)
-- order: nr
WITH fitting AS (
    SELECT
        u.nr, u.direction, h.kind, h.edition, h.edition_rank, h.id, h.purpose, h.tag_kind,
        tag_test(u.remote, h.tag) AS answer,
        tag_test(u.remote, 'VirtualNetwork') AS in_network
    FROM unmatched u
    JOIN hint_matches h
        ON h.direction = u.direction
        AND h.protocol = u.protocol
        AND u.port BETWEEN h.port_low AND h.port_high
),
notes AS (
    SELECT nr, string_agg(DISTINCT purpose, ', ' ORDER BY purpose) AS notes
    FROM fitting
    WHERE kind = 'note' AND answer IN ('yes', 'unknown')
    GROUP BY nr
),
others AS (
    SELECT
        nr,
        first_value(edition ORDER BY edition_rank, id) AS edition,
        first_value(id ORDER BY edition_rank, id) AS id,
        first_value(purpose ORDER BY edition_rank, id) AS purpose
    FROM fitting
    WHERE kind = 'other-edition' AND answer IN ('yes', 'unknown')
    GROUP BY nr
),
endpoints AS (
    SELECT nr, string_agg(DISTINCT id, ',' ORDER BY id) AS endpoints
    FROM fitting
    WHERE kind = 'row' AND tag_kind = 'named' AND in_network = 'yes' AND direction <> 'inbound'
    GROUP BY nr
)
SELECT u.*, tag_test(u.remote, 'AzureLoadBalancer') = 'yes' AS is_platform, n.notes, o.edition, o.id, o.purpose, e.endpoints
FROM unmatched u
LEFT JOIN notes n ON n.nr = u.nr
LEFT JOIN others o ON o.nr = u.nr
LEFT JOIN endpoints e ON e.nr = u.nr
ORDER BY u.nr
