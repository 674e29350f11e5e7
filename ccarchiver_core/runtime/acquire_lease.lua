-- KEYS: lease, fencing token, applied. ARGV: owner, ttl in ms.
-- The same owner may run it again after a lost reply. A key of a wrong type, which only a person can
-- have made, is renamed.
local now = redis.call('TIME')
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  local expected = key == KEYS[3] and 'hash' or 'string'
  if kind ~= 'none' and kind ~= expected then
    local place = 'ccarchiver:unreadable:' .. now[1] .. '.' .. now[2] .. ':' .. key
    redis.call('RENAME', key, place)
    redis.call('PERSIST', place)
    redis.pcall('HSET', 'ccarchiver:unreadable', key, place)
  end
end
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return {'held', held} end
if held then return {'acquired', redis.call('GET', KEYS[2])} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[3])
-- A token that is no number begins again at the time in seconds, which is higher than each earlier one.
local token = redis.pcall('INCR', KEYS[2])
if type(token) == 'table' then
  redis.call('SET', KEYS[2], now[1])
  token = now[1]
end
return {'acquired', tostring(token)}
