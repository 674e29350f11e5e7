-- Applies one transaction completely or not at all.
--
-- ARGV: key of the fencing token, own fencing token, key of the applied numbers,
--       number of the transaction, number of its predecessor (0: any),
--       how many numbers of failed preconditions are kept,
--       count of preconditions, {key, field or '', expected or '', 1 if it must exist}...,
--       count of commands, {count of words, words...}...
--
-- Returns 'lost' (Redis has no fencing token), 'fenced' (a newer one exists), 'repeated' (applied
-- before), 'early' (the predecessor is missing), 'refused' (a precondition failed) or 'applied'.
local at = 0
local function take() at = at + 1; return ARGV[at] end
local token_key, token, applied = take(), take(), take()
local number, after, kept = tonumber(take()), tonumber(take()), tonumber(take())
local newest = redis.call('GET', token_key)
if not newest then return 'lost' end
if newest ~= token then return 'fenced' end
local last = tonumber(redis.call('HGET', applied, 'last') or 0)
if number <= last then
  local refused = redis.call('HGET', applied, 'refused') or ''
  if string.find(refused, ' ' .. number .. ' ', 1, true) then return 'refused' end
  return 'repeated'
end
if last < after then return 'early' end
local holds = true
for _ = 1, tonumber(take()) do
  local key, field, expected, present = take(), take(), take(), take()
  local found
  if field == '' then found = redis.call('GET', key) else found = redis.call('HGET', key, field) end
  if present == '1' then
    if found ~= expected then holds = false end
  elseif found then holds = false end
end
if not holds then
  local refused = redis.call('HGET', applied, 'refused') or ' '
  refused = string.sub(refused .. number .. ' ', -8 * kept)
  redis.call('HSET', applied, 'last', number, 'refused', refused)
  return 'refused'
end
for _ = 1, tonumber(take()) do
  local words = {}
  for i = 1, tonumber(take()) do words[i] = take() end
  redis.call(unpack(words))
end
redis.call('HSET', applied, 'last', number)
return 'applied'
