-- id: double_captured
-- title: Flows that were logged twice, by two interfaces or in two logs
-- params: $one_in integer = 1: sample one source port in this many, to save memory
--         $limit integer = 50: rows to show
-- columns: interface, log, other_interface, other_log, kind, flows, tuples_again, bytes_again, first_flow, last_flow
-- order: tuples_again descending, interface, log, other_interface, other_log
--
-- Finds the same five-tuple, decision and state in the same second. Two interfaces mean that both ends are logged. Two logs
-- of one interface are an NSG log and a VNet log, two NSGs, or two flow logs. The column log is the flow log, or the NSG if
-- there is none. Of more than two places, the first and the last by name are shown. Memory grows with the number of tuples:
-- choose a short window.
WITH placed AS (
    SELECT
        *,
        date_trunc('second', time) AS second,
        coalesce(upper(mac), '') || ' ' || lower(coalesce(flow_log, acl)) AS place,
        coalesce(bytes_sent, 0) + coalesce(bytes_received, 0) AS bytes
    FROM flows
    WHERE src_port % $one_in = 0
),
doubles AS (
    SELECT
        second,
        min(place) AS place,
        max(place) AS other_place,
        count(*) - 1 AS tuples_again,
        sum(bytes) - max(bytes) AS bytes_again
    FROM placed
    GROUP BY second, src_ip, dst_ip, src_port, dst_port, protocol, decision, state
    HAVING min(place) < max(place)
),
pairs AS (
    SELECT
        split_part(place, ' ', 1) AS interface,
        substr(place, strpos(place, ' ') + 1) AS log,
        split_part(other_place, ' ', 1) AS other_interface,
        substr(other_place, strpos(other_place, ' ') + 1) AS other_log,
        count(*) AS flows,
        sum(tuples_again) AS tuples_again,
        sum(bytes_again) AS bytes_again,
        min(second) AS first_flow,
        max(second) AS last_flow
    FROM doubles
    GROUP BY place, other_place
)
SELECT
    interface,
    log,
    other_interface,
    other_log,
    CASE WHEN interface = other_interface THEN 'two logs' ELSE 'two interfaces' END AS kind,
    flows,
    tuples_again,
    bytes_again,
    first_flow,
    last_flow
FROM pairs
ORDER BY tuples_again DESC, interface, log, other_interface, other_log
LIMIT $limit
