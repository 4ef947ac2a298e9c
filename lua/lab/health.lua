-- r:health(): the figures of router health of a run, live or stored, a table for each mixture, and
-- how they are printed.
--
--  1. A figure is a row of FIGURES: the table, the columns and ?run:health follow from it.  Its
--     name is a kind of series (include/switchyard/series.h) or a figure that is computed of rows
--     (derived.h); units are theirs.
--  2. What a router does not have (a margin of hash, a drop rate of what drops nothing) is absent.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local help = require "switchyard.help.help"
local series = require "switchyard.run.series"

local health = {}

local KINDS = engine.series_kinds()

-- name, head of its column (nil: E values, which are no column), formula, what is healthy.  In the
-- formulas x are the loads of the enabled experts, p = x / sum x, n their number, s the scores.
local FIGURES = {
  {"load", nil, "tokens of each expert, before any drop, over a fair share", "near 1"},
  {"gate", nil, "P_e, mean over tokens of the scores", "near 1/E, and like the loads"},
  {"importance", nil, "sum of the gates of each expert, over a fair share of all",
   "like the loads"},
  {"dropped", nil, "share of each expert's own assignments that found no place", "0"},
  {"expert_norm", nil, "norm of the gradient at each expert", "over 0, of one magnitude"},
  {"max_vio", "MaxVio", nil, "under 1 while it learns to balance, then under 0.2"},
  {"max_vio_global", "global", nil, "under that of a batch"},
  {"max_mean", "max/mean", nil, "under 2: what the fullest expert takes is waited for"},
  {"cv", "CV", nil, "under 0.5"},
  {"effective", "effective", nil, "near n; near K is a collapse"},
  {"jain", "Jain", nil, "near 1; 1/n is one expert alone"},
  {"dead", "dead", nil, "0"},
  {"entropy", "H(load)", "-sum p ln p", "near ln n"},
  {"gate_entropy", "H(gate)", "mean over tokens of -sum s ln s",
   "falls from ln E, where no token prefers any expert, and stays over 0"},
  {"confidence", "gate max", "mean over tokens of the largest gate", "rises from 1/E or 1/K"},
  {"drop", "drop", "assignments that found no place / all", "under 0.05"},
  {"rerouted", "rerouted", "assignments that another expert took / all", "under 0.1"},
  {"experts_per_token", "per token", "mean number of experts of a token", "near top_k"},
  {"bias", "bias", "max(b) - min(b) of the bias that chooses",
   "bounded: of the size of the scores' differences"},
  {"bias_mean", "b mean", "mean of that bias", "near 0 where it is recentred, else bounded"},
  {"margin", "margin", "mean over tokens of the K-th of what it chooses by less the next",
   "grows from 0"},
  {"close", "close",
   "share of tokens whose margin is under a hundredth of the range of their scores",
   "falls, under 0.05"},
  {"bf16_changed", "bf16", "share of tokens whose experts would be others by a router in bf16",
   "under 0.01"},
  {"balance", "balance", "E sum f_e P_e, without its weight", "near 1"},
  {"z", "z", "mean of (ln sum exp logits)^2, without its weight", "does not grow without end"},
  {"logsumexp", "lse", "mean over tokens of ln sum exp logits", "does not grow without end"},
  {"router_norm_lm", "|g| lm",
   "norm at the router of the gradient of the loss without auxiliary losses, of the step's first "
   .. "micro-batch", "over 0, and not much under that of the balance"},
  {"router_norm_balance", "|g| bal", "likewise of the auxiliary losses alone",
   "over 0 while loads are uneven, under that of the language model"},
  {"router_norm", "|grad|", "norm of the gradient at the router", "over 0"},
}

-- ---- figures of a run ----

-- The newest row of a series and its step.
local function newest(source, list, name)
  local s = list[name]
  if s.last then return #s.last > 0 and s.last or nil, s.step end
  return source:last(name)
end

-- Names of the series of a place, by their kinds: of two of a kind the one that is called so.
local function of_place(list, at)
  local found = {}
  for name, s in pairs(list) do
    local known = found[s.kind]
    if s.layer == at.layer and s.mixture == at.mixture
      and not (known and known:match "^[^.]*" == s.kind) then found[s.kind] = name end
  end
  return found
end

local function derive(source, row, name, step)
  local rows = series.derive(source, row, name, step - row.window + 1)
  local n = rows.shape[1]
  local v = n > 0 and rows[n][2]:item()
  return v and v == v and v or nil
end

local function put(out, name, values, step)
  if not values then return end
  local each = (KINDS[name] or {}).each
  out[name] = each and values or values[1]
  if step ~= out.step then out.steps[name] = step end
end

local function layer_of(source, list, at, label)
  local found = of_place(list, at)
  local load, step = newest(source, list, found.load)
  local out = {layer = at.layer, name = engine.place(at.layer, at.mixture, label), step = step,
               steps = {}, mixture = at.mixture ~= "" and at.mixture or nil}
  if not load then return out end
  for _, f in ipairs(FIGURES) do
    local row, name = series.derived[f[1]], found[f[1]]
    if row then out[f[1]] = derive(source, row, found[row.of], step)
    elseif name then put(out, f[1], newest(source, list, name)) end
  end
  return out
end

-- ---- how they are printed ----

local function number(v)
  if v == nil then return "-" end
  if v == math.floor(v) and math.abs(v) < 1e6 then return ("%d"):format(v) end
  return ("%.3g"):format(v)
end

-- Columns that some layer has: head and a text for each layer.
local function columns_of(list)
  local columns = {}
  for _, f in ipairs(FIGURES) do
    local column, any = {f[2]}, false
    for i, l in ipairs(list) do
      column[i + 1] = number(f[2] and l[f[1]])
      any = any or f[2] and l[f[1]] ~= nil
    end
    if any then columns[#columns + 1] = column end
  end
  return columns
end

local function width_of(column)
  local most = 0
  for _, cell in ipairs(column) do most = math.max(most, utf8.len(cell) or #cell) end
  return most
end

local function pad(cell, width, left)
  local room = (" "):rep(width - (utf8.len(cell) or #cell))
  return left and cell .. room or room .. cell
end

-- As many columns side by side as there is room for, the layers' names before each block.
local function blocks(names, columns, room)
  local lines, first, at = {}, width_of(names), 1
  while at <= #columns do
    local used, last = first, at - 1
    repeat
      last = last + 1
      used = used + 2 + width_of(columns[last])
    until not columns[last + 1] or used + 2 + width_of(columns[last + 1]) > room
    for i = 1, #names do
      local cells = {pad(names[i], first, true)}
      for c = at, last do cells[#cells + 1] = pad(columns[c][i], width_of(columns[c])) end
      lines[#lines + 1] = table.concat(cells, "  ")
    end
    at = last + 1
    if at <= #columns then lines[#lines + 1] = "" end
  end
  return lines
end

-- "router health at step 120; gate, dropped: step 110"
local function title(list)
  local by, steps = {}, {}
  for _, f in ipairs(FIGURES) do
    local step = list[1].steps[f[1]]
    if step then
      if not by[step] then steps[#steps + 1] = step end
      by[step] = (by[step] and by[step] .. ", " or "") .. (f[2] or f[1])
    end
  end
  local text = ("router health at step %d"):format(list[1].step)
  for _, step in ipairs(steps) do text = ("%s; %s: step %d"):format(text, by[step], step) end
  return text
end

local Health = {__name = "health"}

function Health.__tostring(list)
  if #list == 0 then return "no mixture has shown its loads: no router health" end
  local names, shown, room = {""}, {}, math.max(40, engine.columns()) - 1
  for _, l in ipairs(list) do
    if l.step then names[#names + 1], shown[#shown + 1] = engine.clean(l.name), l end
  end
  if #shown == 0 then return "no step was learned from yet: no router health" end
  local lines = blocks(names, columns_of(shown), room)
  return help.wrap(title(shown), "", room) .. "\n" .. table.concat(lines, "\n")
end

--- health.of(source, labels) -> list of tables, one a mixture; source: the handle of a live run, or
-- a store; labels: of layers that are called otherwise than by their number
function health.of(source, labels)
  local list, places, out = source:series(), {}, {}
  for _, s in pairs(list) do
    if s.kind == enum.series.LOAD and s.layer > 0 then places[s.layer .. " " .. s.mixture] = s end
  end
  local order = {}
  for _, s in pairs(places) do order[#order + 1] = s end
  table.sort(order, function(a, b)
    if a.layer ~= b.layer then return a.layer < b.layer end
    return a.mixture < b.mixture
  end)
  for i, s in ipairs(order) do out[i] = layer_of(source, list, s, labels and labels[s.layer]) end
  return setmetatable(out, Health)
end

--- Text for ?run:health: each figure, its unit, its formula, what is healthy.
function health.text()
  local lines = {}
  for i, f in ipairs(FIGURES) do
    local derived, kind = series.derived[f[1]], KINDS[f[1]]
    local unit = (derived or kind).unit
    lines[i] = ("%s%s: %s (healthy: %s)"):format(f[1], unit ~= "" and ", " .. unit or "",
      f[3] or derived.help, f[4])
  end
  return table.concat(lines, ". ") .. "."
end

return health
