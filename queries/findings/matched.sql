-- id: matched
-- title: Groups of flows with their candidate set, and what their primary says
-- params: $vnet_mode (external, internal, or both while unknown; given, proven or likely)
-- columns: those of flow_groups, rule_origin, candidates, candidate_count, unknown_count, primary_id, impact,
--          is_external_only, all_from_internet (of the candidates that answered yes), is_named, is_unlisted, needs_correction,
--          certainty (3 confirmed, 2 likely, 1 possible)
-- order: none
--
-- The lists of the groups go through one join only, for each copies them.
WITH sets AS (
    SELECT
        group_id,
        string_agg(id, ',' ORDER BY id) AS candidates,
        count(*) AS candidate_count,
        count(*) FILTER (WHERE answer <> 'yes') AS unknown_count,
        coalesce(bool_and(is_from_internet) FILTER (WHERE answer = 'yes'), false) AS all_from_internet,
        first_value(id ORDER BY impact DESC, id) AS primary_id
    FROM candidates
    GROUP BY group_id
),
marked AS (
    SELECT
        g.group_id,
        CASE
            WHEN starts_with(g.rule, 'PlatformRule') THEN 'platform'
            WHEN starts_with(g.rule, 'unspecified') THEN 'encryption'
            WHEN starts_with(g.rule, 'UserRule_') THEN 'user'
            WHEN starts_with(g.rule, 'DefaultRule_') THEN 'default'
            WHEN q.is_vnet AND g.rule <> '' THEN 'admin'
            ELSE 'unknown'
        END AS rule_origin,
        s.candidates, s.candidate_count, s.unknown_count, s.all_from_internet, s.primary_id,
        p.impact, p.is_external_only,
        p.answer = 'yes' AND p.tag_kind = 'named' AS is_named,
        p.answer = 'unlisted' AS is_unlisted,
        p.is_corrected AS needs_correction,
        CASE
            WHEN p.answer = 'yes' AND p.tag_kind IN ('named', 'load-balancer') THEN 3
            WHEN p.answer = 'yes' AND p.tag_kind IN ('virtual-network', 'any') AND g.port NOT IN (80, 443) THEN 3
            WHEN p.role = 'client' AND $vnet_mode = 'external' THEN 3
            WHEN p.role = 'client-vnet' AND $vnet_mode = 'internal' THEN 3
            WHEN s.candidate_count = 1 AND g.port NOT IN (80, 443) THEN 2
            ELSE 1
        END AS certainty
    FROM flow_groups g
    JOIN quality q ON q.group_id = g.group_id
    LEFT JOIN sets s ON s.group_id = g.group_id
    LEFT JOIN candidates p ON p.group_id = g.group_id AND p.id = s.primary_id
)
SELECT g.*, m.* EXCEPT (group_id)
FROM marked m
JOIN flow_groups g ON g.group_id = m.group_id
