-- id: contacts
-- title: Peers that were let through, by port, and when
-- params: none
-- columns: direction, local_ip, peer, port, protocol, is_new (the flow began, or its log does not say), hours
-- order: none
--
-- Not of clients on the Internet, but for ports that only a named Azure service must reach.
WITH seen AS (
    SELECT unnest(pass['contacts']) AS c FROM flow_pass
)
SELECT
    c['direction'] AS direction,
    c['local_ip'] AS local_ip,
    c['peer'] AS peer,
    c['port'] AS port,
    c['protocol'] AS protocol,
    c['is_new'] AS is_new,
    c['hours'] AS hours
FROM seen
