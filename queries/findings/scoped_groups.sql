-- id: scoped_groups
-- title: The groups of every interface, as the scope sees them once it is known
-- params: none
-- columns: those of flow_groups
-- order: none
WITH placed AS (
    SELECT
        *,
        subnet_of(local_ip) IS NOT NULL AS is_local_in,
        coalesce(subnet_of(peer_local) IS NOT NULL, false) AS is_peer_in
    FROM flow_groups
),
turned AS (
    SELECT
        group_id, port, src_port, protocol, decision, state, answer, rule, acl, log_kind, is_call, hours, steps, peers,
        CASE
            WHEN is_local_in AND is_peer_in THEN 'internal'
            WHEN is_local_in THEN direction
            WHEN direction = 'outbound' THEN 'inbound'
            ELSE 'outbound'
        END AS direction,
        CASE WHEN is_local_in THEN 'near' ELSE 'far' END AS vantage,
        -- Of a flow inside the scope the local end is the destination.
        CASE WHEN is_local_in AND NOT (is_peer_in AND direction = 'outbound') THEN local_ip ELSE peer_local END AS local_ip,
        peer_class AS seen_class,
        -- Where the far end turns out to be another address than the one that the group was made for.
        CASE
            WHEN is_local_in AND is_peer_in AND direction = 'outbound' THEN peer_local
            WHEN is_peer_in THEN local_ip
        END AS peer
    FROM placed
    WHERE is_local_in OR is_peer_in
)
SELECT
    group_id, direction, vantage, local_ip, CAST(NULL AS VARCHAR) AS peer_local,
    CASE WHEN peer IS NULL THEN seen_class ELSE class_of(peer) END AS peer_class,
    port, src_port, protocol, decision, state, answer, rule, acl, log_kind,
    substr(CASE WHEN peer IS NULL THEN seen_class ELSE class_of(peer) END, 1, 1) = 'y' AS peer_is_internet,
    is_call, hours, steps,
    CASE WHEN peer IS NULL OR cardinality(peers) = 0 THEN peers ELSE make_array(named_struct('ip', peer, 'tuples', peers[1]['tuples'], 'hours', peers[1]['hours'])) END AS peers
FROM turned
