-- id: peers_allowed
-- title: The last new allowed flow of some peers, by port
-- params: $peers (addresses as text)
-- columns: direction, subnet, peer, port, protocol, last
-- order: none
WITH flows AS (
    SELECT c.direction, c.subnet, c.peer, c.port, c.protocol, unnest(c.hours) AS h
    FROM contacts c CROSS JOIN log_states l
    WHERE (c.is_new OR NOT l.has_begin) AND array_has($peers, ip_text(c.peer))
)
SELECT direction, subnet, ip_text(peer) AS peer, port, protocol, max(h['last']) AS last
FROM flows
GROUP BY direction, subnet, flows.peer, port, protocol
