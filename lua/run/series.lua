-- Series of a run, live (its handle) or stored (its store): both have series() and history().
-- Figures that are functions of rows (include/switchyard/derived.h) are in no list of series, and
-- are asked for like them: max_vio.2 is computed of load.2.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local options = require "switchyard.core.options"
local series = {}

series.derived = {} -- rows by name, and as a list
for i, row in ipairs(engine.derived()) do
  series.derived[i], series.derived[row.name] = row, row
end

--- series.names(source) -> names of all its series, in order
function series.names(source)
  local names = {}
  for name in pairs(source:series()) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- The series by whose rows disabled experts of this place are told.
local function disabled_at(list, of)
  for name, s in pairs(list) do
    if s.kind == enum.series.DISABLED and s.layer == of.layer and s.mixture == of.mixture then
      return name
    end
  end
end

--- series.derive(source, row, of, first) -> tensor (n,2) of a figure's row, computed of the series
-- `of` from step `first` (or nil) on; a figure of several rows is of those behind it alone
function series.derive(source, row, of, first)
  local list = source:series()
  local off = disabled_at(list, list[of])
  return engine.derive(row.name, source:history(of, nil, first),
    off and source:history(off, nil, first) or nil)
end

-- "max_vio.2.memory" is of load.2.memory.
local function derived(source, name)
  local head, place = name:match "^([%a_]+)(%..+)$"
  local row = series.derived[head]
  local of = row and row.of .. place
  local s = of and source:series()[of]
  return s and s.kind == row.of and series.derive(source, row, of) or nil
end

-- Of those that there are, where another was asked for.
local function all_names(source)
  local names = series.names(source)
  for name, s in pairs(source:series()) do
    for _, row in ipairs(series.derived) do
      local place = s.kind == row.of and name:match("^" .. row.of .. "(%..+)$")
      if place then names[#names + 1] = row.name .. place end
    end
  end
  return names
end

--- series.history(source, name, first) -> tensor (n,2) of step, value, or (n,1+E); "load.2.5" is
-- column 5 of "load.2".  first: rows before that step (or nil) are not read, but of figures that
-- are computed all come, as a row may be made of those before it
function series.history(source, name, first)
  local h = source:history(name, nil, first)
  if h then return h end
  local base, column = tostring(name):match "^(.*)%.(%d+)$"
  local n = base and math.tointeger(column) -- nil beyond what there can be
  h = n and source:history(base, n, first) or derived(source, tostring(name))
  if h then return h end
  options.unknown("history", "series", name, all_names(source))
end

return series
