-- id: finding_hours
-- title: Denied tuples of each finding by hour
-- params: none
-- columns: finding, hour, denied_tuples, first, last
-- order: finding, hour
WITH hours AS (
    SELECT finding, unnest(hours) AS h FROM denied
)
SELECT
    finding,
    h['hour'] AS hour,
    sum(h['tuples']) AS denied_tuples,
    min(h['first']) AS first,
    max(h['last']) AS last
FROM hours
GROUP BY finding, h['hour']
ORDER BY finding, hour
