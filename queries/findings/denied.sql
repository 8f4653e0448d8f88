-- id: denied
-- title: Denied groups with the number of their finding
-- params: none
-- columns: finding, and those of matched
-- order: none
--
-- ACL names differ in case between log versions, and mean the same.
SELECT
    dense_rank() OVER (ORDER BY candidates, direction, vantage, subnet, lower(acl), rule) AS finding,
    *
FROM matched
WHERE decision = 'deny' AND candidates IS NOT NULL
