-- KEYS: lease, fencing token. ARGV: owner, ttl in ms, own fencing token.
-- It also renews an expired lease, unless another instance has acquired the lease since.
local newest = redis.call('GET', KEYS[2])
if not newest then return 'lost' end
if newest ~= ARGV[3] then return 'fenced' end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 'renewed'
