-- How early a run's routing is what it is at the end: saturation(r, steps).
--
--     saturation(t) = mean over tokens of |E_t and E_T| / |E_T|
--
-- E_t: the experts of a token at the checkpoint of step t, E_T: as the run is now.  By chance it is
-- K/E.  Source: Muennighoff et al. 2025 (OLMoE), section 5.1.
--
--  1. Both see the same windows; a checkpoint with itself gives 1.

local engine = require "switchyard.engine"
local assignments = require "switchyard.lab.assignments"
local options = require "switchyard.core.options"
local result = require "switchyard.lab.result"
local stored = require "switchyard.run.stored"
local subject = require "switchyard.lab.subject"

local saturation = {}

local function fail(...) error("saturation: " .. string.format(...), 0) end

-- ---- counting ----

-- The share of a token's experts now that it had then, mean over those that have some.
local function in_common(now, before, n)
  local sum, tokens = 0, 0
  for t = 1, n do
    local first, last, had, same = now.first[t], now.first[t + 1] - 1, {}, 0
    for i = before.first[t], before.first[t + 1] - 1 do had[before.choice[i]] = true end
    for i = first, last do same = same + (had[now.choice[i]] and 1 or 0) end
    if last >= first then sum, tokens = sum + same / (last - first + 1), tokens + 1 end
  end
  return tokens > 0 and sum / tokens or 0 / 0
end

local function compare(now, before)
  local row = {}
  for i, s in ipairs(now) do
    for j, x in ipairs(s.mixtures) do
      local other = before[i].mixtures[j]
      row[#row + 1] = other.E == x.E and in_common(x, other, s.n) or 0 / 0
    end
  end
  return row
end

-- ---- texts ----

local function heats(r)
  local values, steps = {}, {}
  for i, step in ipairs(r.steps) do steps[i] = ("%d"):format(step) end
  local table_of = r.saturation:table()
  for l = 1, #r.layers do
    values[l] = {}
    for i = 1, #steps do values[l][i] = table_of[i][l] end
  end
  return {{title = ("share of a token's experts at step %d that it had before"):format(r.last),
           rows = r.layers, columns = steps, values = values, least = 0, most = 1}}
end

local function text(r)
  local rows, values = {{"step"}}, r.saturation:table()
  for l, label in ipairs(r.layers) do rows[1][l + 1] = label end
  for i, step in ipairs(r.steps) do
    rows[i + 1] = {("%d"):format(step)}
    for l = 1, #r.layers do rows[i + 1][l + 1] = result.percent(values[i][l]) end
  end
  local chance = {"by chance"}
  for l = 1, #r.layers do chance[l + 1] = result.percent(r.chance[l]) end
  rows[#rows + 1] = chance
  local lines = {("of a token's experts at step %d so many were its experts before:"):format(
    r.last)}
  result.append(lines, result.table(rows))
  return lines
end

local function csv(r)
  local rows, values = {{"step", "layer", "saturation", "chance"}}, r.saturation:table()
  for i, step in ipairs(r.steps) do
    for l, label in ipairs(r.layers) do
      rows[#rows + 1] = {step, label, values[i][l], r.chance[l]}
    end
  end
  return rows
end

local new = result.class("saturation", "steps last layers saturation chance tokens",
                         {text = text, csv = csv, heat = heats})

-- ---- checkpoints ----

saturation.rows = assignments.options {
  {"data", "any", help = "a data set; default: the run's"},
  {"code", "function", help = "what defines the model, of a run whose script defined it"},
}

local function list_text(steps)
  local list = {}
  for i, step in ipairs(steps) do list[i] = ("%d"):format(step) end
  return table.concat(list, ", ")
end

-- The steps that are asked for, of those there are.
local function chosen(asked, there, last)
  if asked == nil then
    local list = {}
    for _, step in ipairs(there) do if step < last then list[#list + 1] = step end end
    if #list == 0 then fail("the run has no checkpoint before step %d", last) end
    return list
  end
  local list = type(asked) == "table" and asked or {asked}
  if #list == 0 then fail("takes a step, or a list of steps, got none") end
  local is = {}
  for _, step in ipairs(there) do is[step] = true end
  for _, step in ipairs(list) do
    if not is[step] then
      fail("there is no checkpoint of step %s; there are those of %s", tostring(step),
        list_text(there))
    end
  end
  return list
end

local function layers_of(r, all)
  for _, s in ipairs(all) do
    r.tokens = r.tokens + s.n
    for _, x in ipairs(s.mixtures) do
      local l = #r.layers + 1
      r.layers[l] = x.label
      r.chance[l] = x.fixed and x.single and x.single / x.E or 0 / 0
    end
  end
end

local function measure(m, path, asked, d, o)
  subject.check_mixtures("saturation", m)
  local last = m:_steps()
  local steps = chosen(asked, stored.steps(path), last)
  local sets, rows = {{data = d, label = 1}}, {}
  local now = assignments.of(m, "saturation", sets, o)
  local r = {steps = steps, last = last, layers = {}, chance = {}, tokens = 0}
  layers_of(r, now)
  for i, step in ipairs(steps) do
    local before = stored.model("saturation", path, o.code, step)
    rows[i] = compare(now, assignments.of(before, "saturation", sets, o))
    collectgarbage() -- a whole model a step
  end
  r.saturation = result.f64(rows)
  return new(r)
end

--- saturation(run or stored run, step, list of steps or nil, {data=, batches=4, batch=16})
function saturation.of(x, steps, asked)
  return options.call(function()
    local o = options.read("saturation", asked, saturation.rows)
    local _, run = subject.model("saturation", x)
    local path = run and rawequal(run, x) and run.dir
    if not path then fail("takes a run with a directory, whose checkpoints it compares") end
    local d = o.data or subject.data("saturation", x)
    if not engine.is_data(d) then fail("takes a data set, {data = d}, got %s", type(d)) end
    return subject.still("saturation", x, measure, path, steps, d, o)
  end)
end

return saturation
