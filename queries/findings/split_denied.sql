-- id: split_denied
-- title: Denied groups with the number of their finding, addresses that keep coming apart
-- params: none
-- columns: those of denied
-- order: none
--
-- Run after regulars, over denied. Groups that hold such an address are made anew of their peers.
WITH split AS (
    SELECT d.finding, d.group_id, unnest(d.callers) AS c
    FROM denied d
    WHERE d.finding IN (SELECT finding FROM regulars)
),
placed AS (
    SELECT s.group_id, s.c['ip'] AS ip, r.address AS regular, unnest(s.c['hours']) AS h
    FROM split s
    LEFT JOIN regulars r ON r.finding = s.finding AND r.address = ip_text(s.c['ip'])
),
single_peers AS (
    SELECT
        group_id, regular, ip,
        CAST(sum(h['tuples']) AS BIGINT) AS tuples, min(h['first']) AS first, max(h['last']) AS last
    FROM placed
    GROUP BY group_id, regular, ip
),
peers_of AS (
    SELECT
        group_id, regular,
        array_agg(named_struct('ip', ip, 'tuples', tuples, 'first', first, 'last', last) ORDER BY ip) AS peers
    FROM single_peers
    GROUP BY group_id, regular
),
summed AS (
    SELECT
        group_id, regular, h['hour'] AS hour,
        CAST(sum(h['tuples']) AS BIGINT) AS tuples, min(h['first']) AS first, max(h['last']) AS last
    FROM placed
    GROUP BY group_id, regular, h['hour']
),
hours_of AS (
    SELECT
        group_id, regular,
        array_agg(named_struct('hour', hour, 'tuples', tuples, 'first', first, 'last', last) ORDER BY hour) AS hours
    FROM summed
    GROUP BY group_id, regular
),
parts AS (
    SELECT h.group_id, h.regular, h.hours, p.peers
    FROM hours_of h
    JOIN peers_of p ON p.group_id = h.group_id AND p.regular IS NOT DISTINCT FROM h.regular
),
apart AS (
    SELECT d.* EXCEPT (finding, address, hours, peers), p.regular AS address, p.hours, p.peers
    FROM denied d
    JOIN parts p ON p.group_id = d.group_id
),
whole AS (
    SELECT d.* EXCEPT (finding, address, hours, peers), d.address, d.hours, d.peers
    FROM denied d
    WHERE d.finding NOT IN (SELECT finding FROM regulars)
),
joined AS (
    SELECT * FROM apart UNION ALL SELECT * FROM whole
)
SELECT
    CAST(dense_rank() OVER (
        ORDER BY
            candidates, direction, vantage, subnet, lower(acl), rule,
            CASE WHEN candidates IS NULL THEN protocol END, CASE WHEN candidates IS NULL THEN port END, address
    ) AS BIGINT) AS finding,
    *
FROM joined
