-- id: capture_gaps
-- title: Periods in which an interface logged nothing
-- params: $minutes integer = 60: shortest gap to show, at least 10
--         $limit integer = 100: rows to show
-- columns: mac, flow_log, minutes, last_before, first_after
-- order: minutes descending, mac, flow_log, last_before
--
-- Gaps lie between the first and the last record of an interface. Azure writes a record a minute while there is traffic, so
-- an idle interface has gaps too. Gaps of all interfaces at once mean that logging stopped. NSG logs name no flow log.
-- Records more than ten minutes apart are always in different slices, so comparing the ends of slices finds every gap.
WITH slices AS (
    SELECT
        upper(mac) AS mac,
        min(flow_log) AS flow_log,
        min(record_time) AS first_record,
        max(record_time) AS last_record
    FROM flows
    WHERE record_time IS NOT NULL
    GROUP BY upper(mac), lower(flow_log), date_bin(INTERVAL '10 minutes', record_time)
),
steps AS (
    SELECT
        mac,
        flow_log,
        last_record AS last_before,
        lead(first_record) OVER (PARTITION BY mac, lower(flow_log) ORDER BY first_record) AS first_after
    FROM slices
),
gaps AS (
    SELECT *, (to_unixtime(first_after) - to_unixtime(last_before)) / 60 AS minutes FROM steps
)
SELECT mac, flow_log, minutes, last_before, first_after
FROM gaps
WHERE minutes >= $minutes
ORDER BY minutes DESC, mac, flow_log, last_before
LIMIT $limit
