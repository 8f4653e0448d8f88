-- id: encryption_summary
-- title: Encryption of traffic inside virtual networks
-- params: none
-- columns: flow_log, encryption, meaning, decision, tuples, bytes, sources, destinations, first_flow, last_flow
-- order: flow_log, tuples descending, encryption, decision
--
-- VNet flow logs only, because NSG flow logs do not record encryption. Codes are those that Azure documents; the meaning of a
-- newer code is null. Large numbers of addresses are estimates.
SELECT
    min(flow_log) AS flow_log,
    encryption,
    CASE encryption
        WHEN 'X' THEN 'encrypted'
        WHEN 'NX' THEN 'not encrypted: not configured, or the other end cannot'
        WHEN 'NX_HW_NOT_SUPPORTED' THEN 'not encrypted: the host lacks the hardware'
        WHEN 'NX_SW_NOT_READY' THEN 'dropped: the host was not ready for it yet'
        WHEN 'NX_NOT_ACCEPTED' THEN 'dropped: encryption failed, and the policy allows nothing else'
        WHEN 'NX_NOT_SUPPORTED' THEN 'dropped: the host does not support discovery of encryption'
        WHEN 'NX_LOCAL_DST' THEN 'not encrypted: the destination is on the same host'
        WHEN 'NX_FALLBACK' THEN 'not encrypted: encryption failed, and the policy allows that'
    END AS meaning,
    decision,
    count(*) AS tuples,
    sum(coalesce(bytes_sent, 0) + coalesce(bytes_received, 0)) AS bytes,
    approx_distinct(src_ip) AS sources,
    approx_distinct(dst_ip) AS destinations,
    min(time) AS first_flow,
    max(time) AS last_flow
FROM flows
WHERE encryption IS NOT NULL
GROUP BY lower(flow_log), encryption, decision
ORDER BY flow_log, tuples DESC, encryption, decision
