-- id: shown_groups
-- title: The table flow_groups as user queries see it
-- params: none
-- columns: those of flow_groups without local_ip, peer_local, steps, locals, peers and callers
-- order: none
SELECT * EXCEPT (local_ip, peer_local, steps, locals, peers, callers) FROM flow_groups
