-- id: scoped_contacts
-- title: The contacts of every interface, as the scope sees them once it is known
-- params: none
-- columns: those of contacts
-- order: none
--
-- Of a flow inside the scope both ends are the destination, as in the groups.
WITH placed AS (
    SELECT *, subnet_of(local_ip) IS NOT NULL AS is_local_in, subnet_of(peer) IS NOT NULL AS is_peer_in FROM contacts
)
SELECT
    CASE
        WHEN is_local_in AND is_peer_in THEN 'internal'
        WHEN is_local_in THEN direction
        WHEN direction = 'outbound' THEN 'inbound'
        ELSE 'outbound'
    END AS direction,
    CASE WHEN is_local_in AND NOT (is_peer_in AND direction = 'outbound') THEN local_ip ELSE peer END AS local_ip,
    CASE
        WHEN is_local_in AND is_peer_in AND direction = 'inbound' THEN local_ip
        WHEN is_local_in THEN peer
        ELSE local_ip
    END AS peer,
    port, protocol, is_new, hours
FROM placed
WHERE is_local_in OR is_peer_in
