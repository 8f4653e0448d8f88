-- id: quality
-- title: What the kind of log behind each group is good for
-- params: none
-- columns: group_id, is_vnet, is_reliable (its counters of received packets can be believed)
-- order: none
--
-- NSG flow logs often count nothing on the way back. Those of an ACL are believed when a fifth of them has answers.
WITH counted AS (
    SELECT lower(acl) AS acl_key, answer, unnest(hours) AS h
    FROM flow_groups
    WHERE log_kind = 'nsg' AND decision = 'allow' AND state IN ('continue', 'end') AND answer IN ('answered', 'unanswered')
),
believed AS (
    SELECT acl_key
    FROM counted
    GROUP BY acl_key
    HAVING 5 * sum(CASE WHEN answer = 'answered' THEN h['tuples'] ELSE 0 END) >= sum(h['tuples'])
)
SELECT g.group_id, g.log_kind = 'vnet' AS is_vnet, g.log_kind = 'vnet' OR b.acl_key IS NOT NULL AS is_reliable
FROM flow_groups g
LEFT JOIN believed b ON b.acl_key = lower(g.acl)
