-- id: interfaces
-- title: The interfaces that addresses of each subnet were seen on
-- params: none
-- columns: subnet, mac
-- order: subnet, mac
WITH seen AS (
    SELECT unnest(pass['interfaces']) AS i FROM flow_pass
),
placed AS (
    SELECT subnet_of(i['local_ip']) AS subnet, upper(i['mac']) AS mac FROM seen
)
SELECT DISTINCT subnet, mac
FROM placed
WHERE subnet IS NOT NULL
ORDER BY subnet, mac
