-- Applies one transaction completely or not at all.
--
-- ARGV: key of the fencing token, own fencing token, key of the applied numbers,
--       number of the transaction, number of its predecessor,
--       1 if the worker knows that the predecessor was applied, else 0,
--       how many numbers of failed preconditions are kept,
--       count of preconditions, {key, field or '', expected or '', 1 if it must exist}...,
--       count of commands, {count of words, words...}...
--
-- Returns 'lost' (Redis has no fencing token), 'fenced' (a newer one exists), 'repeated' (applied
-- before), 'early' (the predecessor is missing), 'precondition_failed' or 'applied'. The last two
-- are followed by ':' and the number of applied transactions that Redis has lost, if it has lost any.
local index = 0
local function next_arg() index = index + 1; return ARGV[index] end
local token_key, token, applied = next_arg(), next_arg(), next_arg()
local number, after, is_after_known = tonumber(next_arg()), tonumber(next_arg()), next_arg() == '1'
local kept = tonumber(next_arg())
local newest = redis.call('GET', token_key)
if not newest then return 'lost' end
if newest ~= token then return 'fenced' end
local last = tonumber(redis.call('HGET', applied, 'last') or 0)
if number <= last then
  local failed = redis.call('HGET', applied, 'preconditions_failed') or ''
  if string.find(failed, ' ' .. number .. ' ', 1, true) then return 'precondition_failed' end
  return 'repeated'
end
local lost = ''
if last < after then
  if not is_after_known then return 'early' end
  lost = ':' .. (after - last)
end
local holds = true
for _ = 1, tonumber(next_arg()) do
  local key, field, expected, present = next_arg(), next_arg(), next_arg(), next_arg()
  local found
  if field == '' then found = redis.call('GET', key) else found = redis.call('HGET', key, field) end
  if present == '1' then
    if found ~= expected then holds = false end
  elseif found then holds = false end
end
if not holds then
  local failed = redis.call('HGET', applied, 'preconditions_failed') or ' '
  failed = string.sub(failed .. number .. ' ', -8 * kept)
  redis.call('HSET', applied, 'last', number, 'preconditions_failed', failed)
  return 'precondition_failed' .. lost
end
for _ = 1, tonumber(next_arg()) do
  local words = {}
  for i = 1, tonumber(next_arg()) do words[i] = next_arg() end
  redis.call(unpack(words))
end
redis.call('HSET', applied, 'last', number)
return 'applied' .. lost
