-- id: contacts
-- title: Peers that were let through, by port, and when
-- params: none
-- columns: direction, local_ip (null once the scope is known), subnet (null until then), peer, port, protocol, is_new (the flow
--          began, or its log does not say), hours (none of flows that are not new, once a beginning was seen)
-- order: none
--
-- Not of clients on the Internet, but for ports that only a named Azure service must reach.
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
