-- id: candidates
-- title: The requirements that each group of flows may belong to
-- params: $has_fresh_tags (the loaded service-tag file is no older than the flows, so what it does not list on the web's ports is
--         not of the tag)
-- columns: group_id, id, answer, tag_kind, impact, is_external_only, is_from_internet, is_corrected, role
-- order: none
--
-- A row answers through the letter of its tag in the peer's class: y yes, n no, u unknown, l not listed in the loaded file.
-- Not listed is unknown on ports that web traffic does not share, and in a file whose age proves nothing: loading a file
-- must never hide a block. Most specific wins: where a named tag or the load balancer says yes, only such rows are
-- candidates. Inbound, a row that is not required must not stand in doubt beside one that fits.
WITH answers AS (
    SELECT
        g.group_id, g.direction, m.id, m.tag_kind, m.impact, m.is_external_only, m.is_from_internet, m.is_corrected, m.is_required,
        m.role,
        CASE
            WHEN m.tag_kind = 'any' THEN 'yes'
            WHEN substr(g.peer_class, m.tag_place, 1) = 'y' THEN 'yes'
            WHEN substr(g.peer_class, m.tag_place, 1) = 'u' THEN 'unknown'
            WHEN substr(g.peer_class, m.tag_place, 1) = 'l' AND (coalesce(g.port, 0) NOT IN (80, 443) OR NOT $has_fresh_tags)
                THEN 'unlisted'
            ELSE 'no'
        END AS answer
    FROM flow_groups g
    JOIN requirement_matches m
        ON m.direction = g.direction
        AND m.protocol = g.protocol
        AND (m.any_port OR g.port BETWEEN m.port_low AND m.port_high)
        AND (m.any_src_port OR g.src_port BETWEEN m.src_port_low AND m.src_port_high)
),
fitting AS (
    SELECT
        group_id, direction, id, tag_kind, impact, is_external_only, is_from_internet, is_required, role, answer,
        bool_and(is_corrected) AS is_corrected
    FROM answers
    WHERE answer <> 'no'
    GROUP BY group_id, direction, id, tag_kind, impact, is_external_only, is_from_internet, is_required, role, answer
),
ranked AS (
    SELECT
        *,
        answer = 'yes' AND tag_kind IN ('named', 'load-balancer') AS is_specific,
        bool_or(answer = 'yes' AND tag_kind IN ('named', 'load-balancer')) OVER (PARTITION BY group_id) AS has_specific,
        bool_or(answer = 'yes') OVER (PARTITION BY group_id) AS has_fitting
    FROM fitting
)
SELECT group_id, id, answer, tag_kind, impact, is_external_only, is_from_internet, is_corrected, role
FROM ranked
WHERE is_specific
    OR NOT has_specific AND NOT (direction = 'inbound' AND answer <> 'yes' AND NOT is_required AND has_fitting)
