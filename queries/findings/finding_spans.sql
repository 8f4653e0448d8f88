-- id: finding_spans
-- title: How much of each finding was refused, and since when
-- params: none
-- columns: finding, denied_tuples, first_denied, last_denied, and of R denied_tuples_24h, first_denied_24h
-- order: none
--
-- R, the 24 hours up to the last denial, is made of the hours whose flows reach into it.
WITH spans AS (
    SELECT finding, sum(denied_tuples) AS denied_tuples, min(first) AS first_denied, max(last) AS last_denied
    FROM finding_hours
    GROUP BY finding
),
recent AS (
    SELECT
        s.finding,
        sum(d.denied_tuples) AS denied_tuples_24h,
        min(CASE WHEN d.first > s.last_denied - INTERVAL '24 hours' THEN d.first ELSE d.last END) AS first_denied_24h
    FROM spans s
    JOIN finding_hours d ON d.finding = s.finding
    WHERE d.last > s.last_denied - INTERVAL '24 hours'
    GROUP BY s.finding
)
SELECT s.finding, s.denied_tuples, s.first_denied, s.last_denied, r.denied_tuples_24h, r.first_denied_24h
FROM spans s
JOIN recent r ON r.finding = s.finding
