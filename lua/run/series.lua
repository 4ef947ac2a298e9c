-- Series of a run, live (its handle) or stored (its store): both have series() and history().

local options = require "switchyard.core.options"
local series = {}

--- series.names(source) -> names of all its series, in order
function series.names(source)
  local names = {}
  for name in pairs(source:series()) do names[#names + 1] = name end
  table.sort(names)
  return names
end

--- series.history(source, name) -> tensor (n,2) of step, value, or (n,1+E); "load.2.5" is column 5
-- of "load.2"
function series.history(source, name)
  local h = source:history(name)
  if h then return h end
  local base, column = tostring(name):match "^(.*)%.(%d+)$"
  local n = base and math.tointeger(column) -- nil beyond what there can be
  h = n and source:history(base, n)
  if h then return h end
  options.unknown("history", "series", name, series.names(source))
end

return series
