-- objective = ... of train and m:loss: what of a text is shown and what is to be predicted
-- (include/switchyard/objective.h).
--
--     "span"                                  one, by its defaults
--     {"span", density = 0.15, mean = 3}      with options
--     {next = 0.5, fim = 0.5}                 a mixture: shares of the rows
--     {next = 0.5, fim = {0.5, rate = 0.9}}   likewise with options
--
-- All become a list {{name=, share=, OPTION=}}, or the name alone where that says all: this is what
-- is stored with a run, and it is read again as it is.

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local objective = {}

local specs, names = {}, {}
for i, spec in ipairs(engine.objective_rows()) do
  local rows = {}
  for k, o in ipairs(spec.options) do
    rows[k] = {o.name, "number", o.default, o.least, o.most, help = o.help}
  end
  specs[spec.name], names[i] = {help = spec.help, rows = rows}, spec.name
end
objective.names = names

-- "next (each token from those before it), ..."
local function helps()
  local list = {}
  for i, name in ipairs(names) do list[i] = ("%s: %s"):format(name, specs[name].help) end
  return table.concat(list, "; ")
end

--- The row of an option `objective`.
function objective.row(default, help)
  return {"objective", "any", default, choices = names, help = help .. helps()}
end

--- Option rows of an objective, and what it does.
function objective.spec(name) return specs[name].rows, specs[name].help end

local function one(what, name, share, given)
  if not specs[name] then options.unknown(what, "objective", name, names) end
  local o = options.read(("%s: objective '%s'"):format(what, name), given, specs[name].rows)
  o.name = name
  o.share = options.check(what .. ": objective", name, share, {name, "number", nil, 0})
  return o
end

-- Options of {value, option = ...}, without the value.
local function beside(t)
  local o = {}
  for k, v in pairs(t) do
    if k ~= 1 then o[k] = v end
  end
  return o
end

local function stored(what, list)
  local out = {}
  for i, part in ipairs(list) do
    local o = {}
    for k, v in pairs(part) do
      if k ~= "name" and k ~= "share" then o[k] = v end
    end
    out[i] = one(what, part.name, part.share, o)
  end
  return out
end

local function mixture(what, given)
  local out = {}
  for name, share in pairs(given) do
    if type(share) == "table" then out[#out + 1] = one(what, name, share[1], beside(share))
    else out[#out + 1] = one(what, name, share, nil) end
  end
  if #out == 0 then error(what .. ": objective: none is named", 0) end
  return out
end

local function parts_of(what, given)
  if type(given) == "string" then return {one(what, given, 1, nil)} end
  if type(given) ~= "table" then
    error(("%s: objective must be a name or a table, got %s"):format(what, type(given)), 0)
  end
  if type(given[1]) == "string" then return {one(what, given[1], 1, beside(given))} end
  if type(given[1]) == "table" then return stored(what, given) end
  return mixture(what, given)
end

local function is_plain(list)
  if #list > 1 then return false end
  for _, row in ipairs(specs[list[1].name].rows) do
    if list[1][row[1]] ~= row[3] then return false end
  end
  return true
end

local place = {}
for i, name in ipairs(names) do place[name] = i end

--- objective.read(what, given) -> a name, or a list of {name=, share=, OPTION=} by rising number
-- whose shares are 1 together
function objective.read(what, given)
  local list, sum = parts_of(what, given), 0
  -- In one order, so that the sum is the same to the last bit in every process.
  table.sort(list, function(a, b) return place[a.name] < place[b.name] end)
  for _, o in ipairs(list) do
    if o.share == 0 then
      error(("%s: objective '%s': its share is 0: leave it out"):format(what, o.name), 0)
    end
    sum = sum + o.share
  end
  for _, o in ipairs(list) do o.share = #list > 1 and o.share / sum or 1 end
  return is_plain(list) and list[1].name or list
end

local function as_list(o) return type(o) == "table" and o or {{name = o, share = 1}} end

--- The handle for the engine, nil of next-token prediction; o: of objective.read.
function objective.handle(o, tok) return engine.objectives(as_list(o), tok) end

--- Is it among them?
function objective.has(o, name)
  for _, part in ipairs(as_list(o)) do
    if part.name == name then return true end
  end
  return false
end

--- For people, and as a key: "span", "next 0.5, fim 0.5 (rate 0.9)".
function objective.text(o)
  if type(o) == "string" then return o end
  local list = {}
  for i, part in ipairs(o) do
    local own = {}
    for _, row in ipairs(specs[part.name].rows) do
      if part[row[1]] ~= row[3] then own[#own + 1] = ("%s %.14g"):format(row[1], part[row[1]]) end
    end
    list[i] = part.name .. (#o > 1 and (" %.14g"):format(part.share) or "")
      .. (#own > 0 and (" (%s)"):format(table.concat(own, ", ")) or "")
  end
  return table.concat(list, ", ")
end

return objective
