-- Alerts and their deliveries. now is the caller's, or the database's where it is NULL.

-- name: put
INSERT INTO alerts (at, event, reason, title, body, key)
VALUES (%(at)s, %(event)s, %(reason)s, %(title)s, %(body)s, %(key)s)
ON CONFLICT (key) DO NOTHING

-- name: last_key
SELECT key FROM alerts WHERE event = %(event)s AND starts_with(key, %(prefix)s) ORDER BY id DESC LIMIT 1

-- name: told_start
-- One session of a variant at a time: a start that was told while this one stood is its own.
SELECT EXISTS (
    SELECT FROM paper_sessions AS s JOIN alerts AS a
      ON a.event = 'start' AND a.created_at >= s.started_at AND (s.ended_at IS NULL OR a.created_at <= s.ended_at)
    WHERE s.id = %(session)s)

-- name: without_delivery
SELECT a.id, a.event, a.reason, c.channel
FROM alerts AS a CROSS JOIN unnest(%(channels)s::text[]) AS c (channel)
WHERE a.state = 'waiting'
  AND NOT EXISTS (SELECT FROM alert_deliveries AS d WHERE d.alert_id = a.id AND d.channel = c.channel)
ORDER BY a.id LIMIT 5000

-- name: enrol
INSERT INTO alert_deliveries (alert_id, channel, state, next_attempt_at)
SELECT w.alert_id, w.channel, w.state, COALESCE(%(now)s::timestamptz, now())
FROM unnest(%(alerts)s::bigint[], %(channels)s::text[], %(states)s::text[]) AS w (alert_id, channel, state)
ON CONFLICT (alert_id, channel) DO NOTHING

-- name: channel_due
SELECT COALESCE((SELECT next_attempt_at <= COALESCE(%(now)s::timestamptz, now()) FROM alert_channels
                 WHERE channel = %(channel)s), true)

-- name: claim
WITH next AS (
    SELECT alert_id, channel, state FROM alert_deliveries
    WHERE channel = %(channel)s AND (
        (state = 'waiting' AND next_attempt_at <= COALESCE(%(now)s::timestamptz, now()))
        OR (state = 'sending' AND leased_until <= COALESCE(%(now)s::timestamptz, now())))
    -- A message that fails again and again must not keep the others waiting; a channel that works gets them in order.
    ORDER BY CASE WHEN %(proven)s THEN 0 ELSE attempts / 4 END, alert_id
    LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE alert_deliveries AS d
SET state = 'sending', attempts = d.attempts + 1, claim = %(claim)s, doubtful = d.doubtful OR next.state = 'sending',
    leased_until = COALESCE(%(now)s::timestamptz, now()) + %(lease)s
FROM next JOIN alerts AS a ON a.id = next.alert_id
WHERE d.alert_id = next.alert_id AND d.channel = next.channel
RETURNING d.alert_id, d.channel, a.at, a.event, a.title, a.body, d.attempts, d.doubtful, d.claim,
          COALESCE(%(now)s::timestamptz, now()) - a.created_at

-- name: sent
UPDATE alert_deliveries
SET state = 'sent', settled_at = COALESCE(%(now)s::timestamptz, now()), leased_until = NULL, claim = NULL,
    last_error = NULL
WHERE alert_id = %(alert)s AND channel = %(channel)s AND claim = %(claim)s AND state = 'sending'

-- name: failed
UPDATE alert_deliveries
SET state = 'waiting', next_attempt_at = COALESCE(%(now)s::timestamptz, now()) + %(delay)s, leased_until = NULL,
    claim = NULL, last_error = %(error)s, doubtful = doubtful OR %(doubtful)s
WHERE alert_id = %(alert)s AND channel = %(channel)s AND claim = %(claim)s AND state = 'sending'

-- name: channel_worked
INSERT INTO alert_channels (channel, next_attempt_at, last_sent_at)
VALUES (%(channel)s, COALESCE(%(now)s::timestamptz, now()), COALESCE(%(now)s::timestamptz, now()))
ON CONFLICT (channel) DO UPDATE
SET failures = 0, next_attempt_at = EXCLUDED.next_attempt_at, last_sent_at = EXCLUDED.last_sent_at,
    failing_since = NULL, last_error = NULL

-- name: channel_failed
INSERT INTO alert_channels AS c (channel, failures, next_attempt_at, failing_since, last_error)
VALUES (%(channel)s, 1, COALESCE(%(now)s::timestamptz, now()), COALESCE(%(now)s::timestamptz, now()), %(error)s)
ON CONFLICT (channel) DO UPDATE
SET failures = c.failures + 1, failing_since = COALESCE(c.failing_since, EXCLUDED.failing_since),
    last_error = EXCLUDED.last_error
RETURNING failures

-- name: channel_rests
UPDATE alert_channels SET next_attempt_at = COALESCE(%(now)s::timestamptz, now()) + %(delay)s WHERE channel = %(channel)s

-- name: give_up
UPDATE alert_deliveries AS d
SET state = 'given_up', settled_at = COALESCE(%(now)s::timestamptz, now()),
    last_error = COALESCE(d.last_error, 'its channel is not configured any more')
FROM alerts AS a
WHERE a.id = d.alert_id
  AND (d.state = 'waiting' OR d.state = 'sending' AND d.leased_until <= COALESCE(%(now)s::timestamptz, now()))
  AND a.created_at < COALESCE(%(now)s::timestamptz, now())
                     - CASE WHEN d.channel = ANY(%(channels)s::text[]) THEN %(after)s ELSE %(orphaned_after)s END

-- name: settle
UPDATE alerts AS a
SET state = CASE WHEN d.given_up THEN 'given_up' WHEN d.sent THEN 'sent' ELSE 'filtered' END,
    settled_at = COALESCE(%(now)s::timestamptz, now())
FROM (SELECT alert_id, bool_or(state IN ('waiting', 'sending')) AS pending, bool_or(state = 'sent') AS sent,
             bool_or(state = 'given_up') AS given_up
      FROM alert_deliveries WHERE alert_id IN (SELECT id FROM alerts WHERE state = 'waiting') GROUP BY alert_id) AS d
WHERE a.id = d.alert_id AND a.state = 'waiting' AND NOT d.pending

-- name: settle_without_channel
UPDATE alerts AS a SET state = 'filtered', settled_at = COALESCE(%(now)s::timestamptz, now())
WHERE state = 'waiting' AND NOT EXISTS (SELECT FROM alert_deliveries AS d WHERE d.alert_id = a.id)

-- name: count_waiting
SELECT count(*) FROM alerts WHERE state = 'waiting'

-- name: list
SELECT a.id, a.at, a.event, a.reason, a.title, a.body, a.state, a.settled_at, COALESCE(
    (SELECT jsonb_agg(jsonb_build_object(
        'channel', d.channel, 'state', d.state, 'attempts', d.attempts, 'error', d.last_error) ORDER BY d.channel)
     FROM alert_deliveries AS d WHERE d.alert_id = a.id), '[]')
FROM alerts AS a
WHERE NOT %(waiting)s OR a.state = 'waiting'
ORDER BY a.id DESC LIMIT %(limit)s

-- name: incident_open
INSERT INTO incidents AS i (key, opened_at, last_seen_at, detail)
VALUES (%(key)s, COALESCE(%(now)s::timestamptz, now()), COALESCE(%(now)s::timestamptz, now()), %(detail)s)
ON CONFLICT (key) DO UPDATE SET last_seen_at = EXCLUDED.last_seen_at, detail = EXCLUDED.detail
RETURNING opened_at, xmax = 0

-- name: incident_close
DELETE FROM incidents WHERE key = %(key)s
RETURNING key, opened_at, COALESCE(%(now)s::timestamptz, now()), detail

-- name: incidents
SELECT key, opened_at, last_seen_at, detail FROM incidents ORDER BY opened_at, key
