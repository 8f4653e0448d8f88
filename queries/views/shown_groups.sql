-- id: shown_groups
-- title: The table flow_groups as people's SQL sees it
-- params: none
-- columns: those of flow_groups, but for steps, peers and callers
-- order: none
SELECT * EXCEPT (steps, peers, callers) FROM flow_groups
