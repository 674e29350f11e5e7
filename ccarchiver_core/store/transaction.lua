-- Applies one transaction completely or not at all.
--
-- A person may have changed a key. A key of a wrong type is renamed, and a counter that is no number
-- begins again at 0, so that no record stops a worker. A hash has what was set aside; health moves it
-- to the dead letters.
--
-- ARGV: key of the fencing token, own fencing token, key of the applied numbers,
--       key of that hash, number of the transaction, number of its predecessor,
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
local unreadable = next_arg()
local number, after, is_after_known = tonumber(next_arg()), tonumber(next_arg()), next_arg() == '1'
local kept = tonumber(next_arg())
local function rename(key)
  local now = redis.call('TIME')
  local place = unreadable .. ':' .. now[1] .. '.' .. now[2] .. ':' .. key
  redis.call('RENAME', key, place)
  redis.call('PERSIST', place)
  return place
end
local function set_aside(name, value)
  local kind = redis.call('TYPE', unreadable).ok
  if kind ~= 'none' and kind ~= 'hash' then rename(unreadable) end
  redis.call('HSET', unreadable, name, value)
end
local function is_no_number(err)
  return string.find(err, 'hash value is not', 1, true)
    or string.find(err, 'would overflow', 1, true)
    or string.find(err, 'would produce', 1, true)
end
local function run(words)
  local reply = redis.pcall(unpack(words))
  if type(reply) ~= 'table' or not reply.err then return reply end
  local key, field = words[2], words[3]
  if string.find(reply.err, 'WRONGTYPE', 1, true) then
    set_aside(key, rename(key))
  elseif is_no_number(reply.err) then
    set_aside(key .. ' ' .. field, redis.call('HGET', key, field))
    redis.call('HDEL', key, field)
  end
  return redis.call(unpack(words))  -- raises any other error
end
local newest = run({'GET', token_key})
if not newest then return 'lost' end
if newest ~= token then return 'fenced' end
local last = tonumber(run({'HGET', applied, 'last'}) or 0) or 0
if last > number + 1000000 then last = 0 end  -- no worker has so many transactions in flight
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
  if field == '' then found = run({'GET', key}) else found = run({'HGET', key, field}) end
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
  run(words)
end
redis.call('HSET', applied, 'last', number)
return 'applied' .. lost
