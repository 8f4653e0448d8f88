-- id: unanswered
-- title: Groups of connections that were allowed, with the number of their key
-- params: none
-- columns: key, and those of matched
-- order: none
--
-- Only where one dependency alone can be meant, and the counters can be believed. A key is one ACL and rule in one subnet.
WITH numbered AS (
    SELECT m.group_id, dense_rank() OVER (ORDER BY m.candidates, m.vantage, m.subnet, lower(m.acl), m.rule) AS key
    FROM matched m
    JOIN quality q ON q.group_id = m.group_id AND q.is_reliable
    WHERE m.candidate_count = 1
        AND m.direction = 'outbound'
        AND m.protocol = 'TCP'
        AND m.decision = 'allow'
        AND m.state IN ('continue', 'end')
        AND m.answer IN ('answered', 'unanswered')
        AND m.rule_origin <> 'platform'
)
SELECT n.key, m.*
FROM numbered n
JOIN matched m ON m.group_id = n.group_id
