-- Names of the engine's enums, to compare by: enum.state.RUNNING is "running", enum.entry.SET is
-- "set".  The rows are in C (include/switchyard: run_state.h, journal.h, events.h, series.h,
-- hyper.h); a name that is in none of them is an error, and not a comparison that is never true.

local engine = require "switchyard.engine"
local enum = {}

for kind, names in pairs(engine.enums()) do
  local constants = {}
  for _, name in ipairs(names) do constants[name:upper()] = name end
  enum[kind] = setmetatable(constants, {__index = function(_, key)
    error(("no %s %s"):format(kind, tostring(key)), 2)
  end})
end

return enum
