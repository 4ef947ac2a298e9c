-- compare{...}: runs side by side, live and stored: how they stand, and the options that they were
-- started with in which they differ.

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local directory = require "switchyard.run.directory"
local show = require "switchyard.prompt.show"
local stored = require "switchyard.run.stored"
local Run, Stored = require("switchyard.run.run").Run, stored.Stored

local VALUE = 24 -- widest value of an option
local WIDE = "%-20s %-8s %13s %9s %9s %9s %10s %6s"
local NARROW = "%-14s %-8s %11s %7s %7s %8s %8s %5s" -- 75 columns, for terminals under 92

local function text(format, v) return v and v == v and format:format(v) or "-" end

local function row(columns, r)
  local s
  if getmetatable(r) == Run then
    s = r._h:status()
  else
    s = assert(r._store:info())
    local series = r._store:series()
    local function last(name) return series[name] and series[name].last[1] end
    s.current_lr, s.tok_s = last "lr", last "tok_s"
  end
  local name = columns == NARROW and show.clip(r.name, 14) or r.name
  return columns:format(name, s.state, ("%d/%d"):format(s.step, s.steps), text("%.3f", s.loss), text("%.3f", s.val_loss),
    text("%.1e", s.current_lr), text("%.0f", s.tok_s), text("%.0f%%", s.mfu and 100 * s.mfu))
end

-- What store and live run were started with, as text.
local function config_of(r)
  if getmetatable(r) == Run then return directory.config_text(r) end
  return assert(r._store:info()).config or "{}"
end

-- Lines of the options that differ, a column a run.
local function differing(differences, names)
  if #differences == 0 then return {} end
  local wide, widths = #"started with", {}
  for _, d in ipairs(differences) do wide = math.max(wide, #d.option) end
  for i, name in ipairs(names) do
    widths[i] = #name
    for _, d in ipairs(differences) do widths[i] = math.max(widths[i], math.min(#d[i], VALUE)) end
  end
  local function line(first, cells)
    local parts = {("%-" .. wide .. "s"):format(first)}
    for i, cell in ipairs(cells) do
      parts[#parts + 1] = ("%" .. widths[i] .. "s"):format(show.clip(engine.clean(cell), widths[i]))
    end
    return table.concat(parts, "  ")
  end
  local lines = {"", line("started with", names)}
  for _, d in ipairs(differences) do lines[#lines + 1] = line(d.option, d) end
  return lines
end

--- compare{r1, "name", ...} -> {runs=, differences=}, printed by columns
local function compare(list)
  if type(list) ~= "table" or getmetatable(list) == Run or getmetatable(list) == Stored then
    error("compare: takes a list of runs: compare{r1, r2}", 2)
  end
  local n = engine.length("compare", list)
  if n == 0 then error("compare: takes a list of runs: compare{r1, r2}", 2) end
  local columns = engine.columns() < 92 and NARROW or WIDE
  local each, names, configs, lines = {}, {}, {}, {columns:format("run", "state", "step", "loss", "val", "lr", "tok/s", "mfu")}
  for i = 1, n do
    local r = list[i]
    if type(r) == "string" then
      local ok, found = pcall(stored.runs, r)
      if not ok then options.raise(found, 2) end
      r = found
    end
    if getmetatable(r) ~= Run and getmetatable(r) ~= Stored then error("compare: element " .. i .. " is not a run", 2) end
    each[i], names[i], configs[i], lines[#lines + 1] = r, engine.clean(r.name), config_of(r), row(columns, r)
  end
  local differences = engine.differ(configs)
  for _, line in ipairs(differing(differences, names)) do lines[#lines + 1] = line end
  return setmetatable({runs = each, differences = differences}, {__tostring = function() return table.concat(lines, "\n") end})
end

return {compare = compare}
