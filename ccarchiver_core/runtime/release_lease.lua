-- KEYS: lease. ARGV: owner.
-- A lease of another owner is left unchanged.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
