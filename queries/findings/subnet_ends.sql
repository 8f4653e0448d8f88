-- id: subnet_ends
-- title: The last flow of each subnet
-- params: none
-- columns: subnet, last_flow
-- order: none
WITH seen AS (
    SELECT subnet, unnest(hours) AS h FROM matched
)
SELECT subnet, max(h['last']) AS last_flow FROM seen GROUP BY subnet
