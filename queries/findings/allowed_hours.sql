-- id: allowed_hours
-- title: The new allowed flows that each finding is compared with, by hour
-- params: none
-- columns: finding, hour, tuples, first, last, last_before (the last one before the denials that it is compared with)
-- order: none
--
-- Candidates are null where no requirement asks for the flows; then what is compared are the flows that the same peers were
-- allowed on that port.
WITH new_flows AS (
    SELECT m.candidates, m.direction, m.subnet, unnest(m.hours) AS h
    FROM matched m CROSS JOIN log_states l
    WHERE m.candidates IS NOT NULL
        AND m.decision = 'allow'
        AND m.rule_origin <> 'platform'
        AND (m.state = 'begin' OR m.state IS NULL OR NOT l.has_begin)
),
new_allowed AS (
    SELECT
        candidates, direction, subnet, h['hour'] AS hour,
        sum(h['tuples']) AS tuples, min(h['first']) AS first, max(h['last']) AS last
    FROM new_flows
    GROUP BY candidates, direction, subnet, h['hour']
),
new_contacts AS (
    SELECT c.direction, c.subnet, c.peer, c.port, c.protocol, unnest(c.hours) AS h
    FROM contacts c CROSS JOIN log_states l
    WHERE c.is_new OR NOT l.has_begin
),
-- With the first denial that each allowed flow may lie before: of the finding, or of the same peer. What no requirement asks
-- for, and an address that keeps coming, are compared with flows of the same peers alone.
allowed_flows AS (
    SELECT k.finding, a.hour, a.tuples, a.first, a.last, s.first_denied AS before
    FROM finding_keys k
    JOIN finding_spans s ON s.finding = k.finding
    JOIN new_allowed a ON a.candidates = k.candidates AND a.direction = k.direction AND a.subnet = k.subnet
    WHERE k.address IS NULL
    UNION ALL
    SELECT r.finding, c.h['hour'], sum(c.h['tuples']), min(c.h['first']), max(c.h['last']), r.first_denied
    FROM refused_peers r
    JOIN finding_keys k ON k.finding = r.finding AND (k.candidates IS NULL OR k.address IS NOT NULL)
    JOIN new_contacts c
        ON c.direction = r.direction
        AND c.subnet = r.subnet
        AND c.peer = r.peer
        AND c.port = r.port
        AND c.protocol = r.protocol
    GROUP BY r.finding, r.direction, r.subnet, r.peer, r.port, r.protocol, r.first_denied, c.h['hour']
)
SELECT
    finding, hour, sum(tuples) AS tuples, min(first) AS first, max(last) AS last,
    max(CASE WHEN last < before THEN last WHEN first < before THEN first END) AS last_before
FROM allowed_flows
GROUP BY finding, hour
