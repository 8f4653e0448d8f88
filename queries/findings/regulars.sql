-- id: regulars
-- title: Refused addresses that keep coming, of findings whose peers are otherwise strangers
-- params: $findings (a list of numbers of findings)
-- columns: finding, address
-- order: finding, address
--
-- In R, the 24 hours up to the last denial, an address has 30 denied tuples and a tenth of all; and it was refused in at
-- least half of the hours between its first and last, three or more.
WITH each_hour AS (
    SELECT finding, unnest(hours) AS h FROM denied WHERE array_has($findings, finding)
),
denied_hours AS (
    SELECT finding, sum(h['tuples']) AS tuples, max(h['last']) AS last FROM each_hour GROUP BY finding, h['hour']
),
spans AS (
    SELECT finding, max(last) AS last_denied FROM denied_hours GROUP BY finding
),
recent AS (
    SELECT s.finding, s.last_denied, sum(d.tuples) AS tuples
    FROM spans s
    JOIN denied_hours d ON d.finding = s.finding
    WHERE d.last > s.last_denied - INTERVAL '24 hours'
    GROUP BY s.finding, s.last_denied
),
callers AS (
    SELECT finding, unnest(callers) AS c FROM denied WHERE array_has($findings, finding)
),
peer_hours AS (
    SELECT finding, c['ip'] AS address, unnest(c['hours']) AS h FROM callers
),
by_hour AS (
    SELECT finding, address, h['hour'] AS hour, sum(h['tuples']) AS tuples, max(h['last']) AS last
    FROM peer_hours
    GROUP BY finding, address, h['hour']
),
counted AS (
    SELECT
        b.finding, b.address, r.tuples AS all_tuples,
        sum(CASE WHEN b.last > r.last_denied - INTERVAL '24 hours' THEN b.tuples ELSE 0 END) AS tuples,
        count(*) AS hours,
        (CAST(max(b.hour) AS BIGINT) - CAST(min(b.hour) AS BIGINT)) / 3600000 + 1 AS span_hours
    FROM by_hour b
    JOIN recent r ON r.finding = b.finding
    GROUP BY b.finding, b.address, r.tuples
)
SELECT finding, ip_text(address) AS address
FROM counted
WHERE tuples >= 30 AND 10 * tuples >= all_tuples AND hours >= 3 AND 2 * hours >= span_hours
ORDER BY finding, address
