-- id: denied
-- title: Denied groups with the number of their finding
-- params: none
-- columns: finding, address (null: of all peers), and those of matched
-- order: none
--
-- ACL names differ in case between log versions, and mean the same. What no requirement asks for is told apart by its
-- port; from the Internet it is noise and makes no finding.
WITH numbered AS (
    SELECT
        group_id,
        CAST(dense_rank() OVER (
            ORDER BY
                candidates, direction, vantage, subnet, lower(acl), rule,
                CASE WHEN candidates IS NULL THEN protocol END, CASE WHEN candidates IS NULL THEN port END
        ) AS BIGINT) AS finding
    FROM matched
    WHERE decision = 'deny' AND (candidates IS NOT NULL OR NOT (direction = 'inbound' AND peer_is_internet))
)
SELECT n.finding, CAST(NULL AS VARCHAR) AS address, m.*
FROM numbered n
JOIN matched m ON m.group_id = n.group_id
