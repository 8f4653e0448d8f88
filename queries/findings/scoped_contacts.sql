-- id: scoped_contacts
-- title: The contacts of every interface, as the scope sees them once it is known
-- params: none
-- columns: those of contacts
-- order: none
--
-- Of a flow inside the scope both ends are the destination, as in the groups. Clients on the Internet are none.
WITH placed AS (
    SELECT *, subnet_of(local_ip) IS NOT NULL AS is_local_in, subnet_of(ip_text(peer)) IS NOT NULL AS is_peer_in FROM contacts
),
turned AS (
    SELECT
        CASE
            WHEN is_local_in AND is_peer_in THEN 'internal'
            WHEN is_local_in THEN direction
            WHEN direction = 'outbound' THEN 'inbound'
            ELSE 'outbound'
        END AS direction,
        CASE WHEN is_local_in AND NOT (is_peer_in AND direction = 'outbound') THEN local_ip ELSE ip_text(peer) END AS local_ip,
        CASE
            WHEN is_local_in AND is_peer_in AND direction = 'inbound' THEN ip_bytes(local_ip)
            WHEN is_local_in THEN peer
            ELSE ip_bytes(local_ip)
        END AS peer,
        port, protocol, is_new, hours
    FROM placed
    WHERE is_local_in OR is_peer_in
)
SELECT direction, local_ip, peer, port, protocol, is_new, hours
FROM turned
WHERE NOT (direction = 'inbound' AND substr(class_of(ip_text(peer)), 1, 1) = 'y') OR is_guarded_port(port)
