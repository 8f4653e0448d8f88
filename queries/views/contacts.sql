-- id: contacts
-- title: Peers with allowed flows, by port and hour
-- params: none
-- columns: direction, local_ip (null once the scope is known), subnet (null until then), peer, port, protocol, is_new (the tuple
--          begins a flow, or its log has no states), hours (empty for flows that are not new, once any log has begin tuples)
-- order: none
--
-- Clients on the Internet are left out, except on ports that only a named Azure service must reach.
WITH seen AS (
    SELECT unnest(pass['contacts']) AS c FROM flow_pass
)
SELECT
    c['direction'] AS direction,
    CASE WHEN c['subnet'] IS NULL THEN ip_text(c['local']) END AS local_ip,
    c['subnet'] AS subnet,
    c['peer'] AS peer,
    c['port'] AS port,
    c['protocol'] AS protocol,
    c['is_new'] AS is_new,
    c['hours'] AS hours
FROM seen
