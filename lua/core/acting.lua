-- Who acts: entries of journals that are made meanwhile bear the name.
--
--   1. The name belongs to the chunk or job that runs, and is kept with it while it waits: others
--      that run meanwhile, and hooks, act as themselves.

local engine = require "switchyard.engine"
local acting = {}

local function ends(before)
  return setmetatable({}, {__close = function() engine.acting(before) end})
end

--- acting.as(who, f, ...) -> what f(...) returns; the name ends with it, also where it waits or
-- fails
function acting.as(who, f, ...)
  local scope <close> = ends(engine.acting(who))
  return f(...)
end

return acting
