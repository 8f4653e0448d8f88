-- id: scoped_groups
-- title: The groups of every interface, as the scope sees them once it is known
-- params: none
-- columns: those of flow_groups
-- order: none
--
-- Other ends are kept where they may be interfaces: in the virtual network, or private. So what a scope of public
-- addresses outside of --vnet was refused by others is not in it.
WITH counted AS (
    SELECT group_id, CAST(sum(h['tuples']) AS BIGINT) AS tuples, min(h['first']) AS first, max(h['last']) AS last
    FROM (SELECT group_id, unnest(hours) AS h FROM flow_groups)
    GROUP BY group_id
),
placed AS (
    SELECT
        *,
        subnet_of(local_ip) IS NOT NULL AS is_local_in,
        coalesce(subnet_of(peer_local) IS NOT NULL, false) AS is_peer_in
    FROM flow_groups
),
turned AS (
    SELECT
        group_id, port, src_port, protocol, decision, state, answer, rule, acl, log_kind, is_call, hours, steps, peers, callers,
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
),
seen AS (
    SELECT
        *,
        CASE WHEN peer IS NULL THEN seen_class ELSE class_of(peer) END AS peer_class,
        substr(CASE WHEN peer IS NULL THEN seen_class ELSE class_of(peer) END, 1, 1) = 'y' AS peer_is_internet
    FROM turned
),
-- As the groups have it: of what the Internet is refused, ports that no requirement names are not told apart.
told AS (
    SELECT
        * EXCEPT (port),
        CASE WHEN NOT (direction = 'inbound' AND peer_is_internet) OR is_named_port(port) THEN port END AS port
    FROM seen
)
SELECT
    t.group_id, direction, vantage, local_ip, CAST(NULL AS VARCHAR) AS peer_local, peer_class,
    port, src_port, protocol, decision, state, answer, rule, acl, log_kind, peer_is_internet, is_call, hours, steps,
    -- A turned group has one peer. That of an unanswered connection was not kept while the connection seemed inbound.
    CASE
        WHEN peer IS NULL THEN peers
        WHEN port IS NOT NULL AND (cardinality(peers) > 0
            OR answer = 'unanswered' AND direction = 'outbound' AND protocol = 'TCP' AND log_kind = 'vnet')
            THEN make_array(named_struct('ip', ip_bytes(peer), 'tuples', tuples, 'first', first, 'last', last))
        WHEN port IS NOT NULL THEN peers
    END AS peers,
    CASE
        WHEN peer IS NOT NULL AND decision = 'deny' AND direction = 'inbound'
            THEN make_array(named_struct('ip', ip_bytes(peer), 'hours', hours))
        ELSE callers
    END AS callers
FROM told t
JOIN counted c ON c.group_id = t.group_id
