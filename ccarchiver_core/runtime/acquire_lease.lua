-- KEYS: lease, fencing token, applied. ARGV: owner, ttl in ms.
-- The same owner may run it again after a lost reply.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return {'held', held} end
if held then return {'acquired', redis.call('GET', KEYS[2])} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[3])
return {'acquired', tostring(redis.call('INCR', KEYS[2]))}
