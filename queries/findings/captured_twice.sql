-- id: captured_twice
-- title: Local addresses and hours that both kinds of log captured
-- params: none
-- columns: double_hours (of all addresses together), double_ips
-- order: one row
WITH seen AS (
    SELECT unnest(pass['captures']) AS c FROM flow_pass
),
ranges AS (
    SELECT c['local_ip'] AS ip, c['is_vnet'] AS is_vnet, c['first_hour'] AS first, c['last_hour'] AS last FROM seen
),
both_kinds AS (
    SELECT v.ip, least(v.last, n.last) - greatest(v.first, n.first) + 1 AS hours
    FROM ranges v
    JOIN ranges n ON n.ip = v.ip AND v.is_vnet AND NOT n.is_vnet AND v.first <= n.last AND n.first <= v.last
    WHERE subnet_of(v.ip) IS NOT NULL
)
SELECT coalesce(sum(hours), 0) AS double_hours, count(DISTINCT ip) AS double_ips FROM both_kinds
