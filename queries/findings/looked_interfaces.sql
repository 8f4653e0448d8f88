-- id: looked_interfaces
-- title: The local addresses of each interface in a look
-- params: none
-- columns: mac, ip
-- order: none
SELECT DISTINCT mac, local_ip AS ip
FROM flow_groups
WHERE mac IS NOT NULL
