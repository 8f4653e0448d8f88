-- id: reference
-- title: Denied tuples by finding, the slow and literal way
-- params: none
-- columns: candidates, direction, vantage, subnet, acl, rule, denied_tuples
-- order: all of them
--
-- One join of every denied flow with every row, ports by BETWEEN, tags one by one. A test holds the real queries equal to it.
WITH placed AS (
    SELECT
        row_number() OVER () AS flow, subnet_of(src_ip) AS src_subnet, subnet_of(dst_ip) AS dst_subnet,
        src_ip, dst_ip, src_port, dst_port, protocol, direction AS logged, rule, acl
    FROM flows
    WHERE decision = 'deny'
),
directed AS (
    SELECT
        *,
        CASE
            WHEN src_subnet IS NOT NULL AND dst_subnet IS NOT NULL THEN 'internal'
            WHEN src_subnet IS NOT NULL THEN 'outbound'
            ELSE 'inbound'
        END AS direction
    FROM placed
    WHERE src_subnet IS NOT NULL OR dst_subnet IS NOT NULL
),
scoped AS (
    SELECT
        *,
        CASE WHEN direction = 'internal' OR direction = logged THEN 'near' ELSE 'far' END AS vantage,
        CASE WHEN direction = 'outbound' THEN src_subnet ELSE dst_subnet END AS subnet,
        CASE WHEN direction = 'inbound' THEN src_ip ELSE dst_ip END AS peer_ip
    FROM directed
),
tested AS (
    SELECT s.*, m.id, m.tag_kind, m.is_required, tag_test(s.peer_ip, m.tag) AS answer
    FROM scoped s
    JOIN requirement_matches m
        ON m.direction = s.direction
        AND m.protocol = s.protocol
        AND s.dst_port BETWEEN m.port_low AND m.port_high
        AND s.src_port BETWEEN m.src_port_low AND m.src_port_high
),
answered AS (
    SELECT DISTINCT
        flow, direction, vantage, subnet, acl, rule, id, is_required, answer,
        answer = 'yes' AND tag_kind IN ('named', 'load-balancer') AS is_specific
    FROM tested
    WHERE answer IN ('yes', 'unknown') OR (answer = 'unlisted' AND dst_port <> 80 AND dst_port <> 443)
),
chosen AS (
    SELECT
        *,
        bool_or(is_specific) OVER (PARTITION BY flow) AS has_specific,
        bool_or(answer = 'yes') OVER (PARTITION BY flow) AS has_fitting
    FROM answered
),
sets AS (
    SELECT flow, direction, vantage, subnet, acl, rule, string_agg(id, ',' ORDER BY id) AS candidates
    FROM chosen
    WHERE is_specific
        OR NOT has_specific AND (is_required OR answer = 'yes' OR NOT has_fitting OR direction <> 'inbound')
    GROUP BY flow, direction, vantage, subnet, acl, rule
)
SELECT candidates, direction, vantage, subnet, acl, rule, count(*) AS denied_tuples
FROM sets
GROUP BY candidates, direction, vantage, subnet, acl, rule
ORDER BY candidates, direction, vantage, subnet, acl, rule
