-- id: logged_groups
-- title: The local addresses of an inspection, grouped: a smaller kind of flow_groups
-- params: none
-- columns: of flow_groups local_ip, direction, peer_class, port, protocol, decision, answer, rule, acl, hours (tuples)
-- order: none
--
-- Each address has a row with its tuples, and rows without tuples for its flows on the ports on which API Management shows
-- itself. No row has a rule, because an inspection does not group the addresses by their ACLs.
WITH locals AS (
    SELECT unnest(pass['locals']) AS l FROM logged
),
signs AS (
    SELECT unnest(pass['signs']) AS s FROM logged
)
SELECT
    ip_text(l['ip']) AS local_ip, CAST(NULL AS VARCHAR) AS direction, CAST(NULL AS VARCHAR) AS peer_class,
    CAST(NULL AS SMALLINT UNSIGNED) AS port, CAST(NULL AS VARCHAR) AS protocol, CAST(NULL AS VARCHAR) AS decision,
    CAST(NULL AS VARCHAR) AS answer, '' AS rule, '' AS acl, make_array(named_struct('tuples', l['tuples'])) AS hours
FROM locals
UNION ALL
SELECT
    ip_text(s['local']), 'inbound', s['peer_class'], s['port'], s['protocol'],
    CASE WHEN s['is_denied'] THEN 'deny' ELSE 'allow' END, CASE WHEN s['is_answered'] THEN 'answered' END, '', '',
    make_array(named_struct('tuples', CAST(0 AS BIGINT)))
FROM signs
