-- compare{...}: runs side by side, live and stored: how they stand, and the options that they were
-- started with in which they differ.

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local lazy = require "switchyard.core.lazy"
local directory = lazy "switchyard.run.directory"
local show = require "switchyard.prompt.show"
local stored = require "switchyard.run.stored"
local Run, Stored = require("switchyard.run.run").Run, stored.Stored

local VALUE = 24 -- widest value of an option

local function text(format, v) return v and v == v and format:format(v) or "-" end

-- The columns: head, widths (negative: to the left) in a terminal that is wide enough and in one
-- that is not, and cell(s, r, width).  s is a live run's status (run.h:status); of a stored one
-- what store:info() gives, and the last values of its series.
local COLUMNS = {
  {head = "run", wide = -20, narrow = -14,
    cell = function(_, r, width) return show.clip(r.name, width) end},
  {head = "state", wide = -8, narrow = -8, cell = function(s) return s.state end},
  {head = "step", wide = 13, narrow = 11,
    cell = function(s) return ("%d/%d"):format(s.step, s.steps) end},
  {head = "loss", wide = 9, narrow = 7, cell = function(s) return text("%.3f", s.loss) end},
  {head = "val", wide = 9, narrow = 7, cell = function(s) return text("%.3f", s.val_loss) end},
  {head = "lr", wide = 9, narrow = 8, cell = function(s) return text("%.1e", s.current_lr) end},
  {head = "tok/s", wide = 10, narrow = 8, cell = function(s) return text("%.0f", s.tok_s) end},
  {head = "mfu", wide = 6, narrow = 5,
    cell = function(s) return text("%.0f%%", s.mfu and 100 * s.mfu) end},
}

local function status_of(r)
  if getmetatable(r) == Run then return r._h:status() end
  local s, series = assert(r._store:info()), r._store:series()
  local function last(name) return series[name] and series[name].last[1] end
  s.current_lr, s.tok_s = last "lr", last "tok_s"
  return s
end

-- Which of the widths: a line of the wide ones has to leave a terminal's last column free.
local function widths_for(columns)
  local wide = #COLUMNS - 1
  for _, c in ipairs(COLUMNS) do wide = wide + math.abs(c.wide) end
  return wide < columns and "wide" or "narrow"
end

-- A line of the table: cell(column, width) of each.
local function line_of(widths, cell)
  local parts = {}
  for i, c in ipairs(COLUMNS) do
    parts[i] = ("%" .. c[widths] .. "s"):format(cell(c, math.abs(c[widths])))
  end
  return table.concat(parts, " ")
end

local function head(widths) return line_of(widths, function(c) return c.head end) end

local function row(widths, r)
  local s = status_of(r)
  return line_of(widths, function(c, width) return c.cell(s, r, width) end)
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
  local widths = widths_for(engine.columns())
  local each, names, configs, lines = {}, {}, {}, {head(widths)}
  for i = 1, n do
    local r = list[i]
    if type(r) == "string" then
      local ok, found = pcall(stored.runs, r)
      if not ok then options.raise(found, 2) end
      r = found
    end
    if getmetatable(r) ~= Run and getmetatable(r) ~= Stored then
      error("compare: element " .. i .. " is not a run", 2)
    end
    each[i], names[i], configs[i] = r, engine.clean(r.name), config_of(r)
    lines[#lines + 1] = row(widths, r)
  end
  local differences = engine.differ(configs)
  for _, line in ipairs(differing(differences, names)) do lines[#lines + 1] = line end
  return setmetatable({runs = each, differences = differences},
    {__tostring = function() return table.concat(lines, "\n") end})
end

return {compare = compare, columns = COLUMNS}
