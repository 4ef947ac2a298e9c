-- Which experts are chosen together: coactivation(m, data).
--
--     lift(i, j) = p(i, j) / (p(i) p(j))
--
-- p(i): the share of tokens that have i among their experts, p(i, j): both.  Of a layer's K experts
-- no two are the same, so that K of E drawn at random have the lift (K - 1) E / (K (E - 1)), which
-- is given as `chance`; with layers = {a, b}, i of the one and j of the other, it is 1.  Source:
-- Muennighoff et al. 2025 (OLMoE), section 5.2.
--
--  1. Counts are whole numbers of tokens.

local engine = require "switchyard.engine"
local assignments = require "switchyard.lab.assignments"
local options = require "switchyard.core.options"
local result = require "switchyard.lab.result"
local subject = require "switchyard.lab.subject"

local coactivation = {}

local function fail(...) error("coactivation: " .. string.format(...), 0) end

-- ---- counting ----

-- Tokens that have expert i of x and j of y: n[i][j]; those that have i, j.
local function count(x, y, tokens)
  local n, of_x, of_y = {}, {}, {}
  for j = 1, y.E do of_y[j] = 0 end
  for i = 1, x.E do
    n[i], of_x[i] = {}, 0
    for j = 1, y.E do n[i][j] = 0 end
  end
  for t = 1, tokens do
    for k = y.first[t], y.first[t + 1] - 1 do
      of_y[y.choice[k]] = of_y[y.choice[k]] + 1
    end
    for a = x.first[t], x.first[t + 1] - 1 do
      local i = x.choice[a]
      of_x[i] = of_x[i] + 1
      for b = y.first[t], y.first[t + 1] - 1 do
        local j = y.choice[b]
        if x ~= y or i ~= j then n[i][j] = n[i][j] + 1 end
      end
    end
  end
  return n, of_x, of_y
end

-- The strongest pairs, both ways of one counted once.
local function strongest(lift, n, same)
  local list = {}
  for i, row in ipairs(lift) do
    for j = same and i + 1 or 1, #row do
      if row[j] == row[j] then list[#list + 1] = {i, j, lift = row[j], tokens = n[i][j]} end
    end
  end
  table.sort(list, function(a, b)
    if a.lift ~= b.lift then return a.lift > b.lift end
    if a[1] ~= b[1] then return a[1] < b[1] end
    return a[2] < b[2]
  end)
  return table.move(list, 1, math.min(8, #list), 1, {})
end

local function pair(x, y, tokens, label)
  local same, lift = x == y, {}
  local n, of_x, of_y = count(x, y, tokens)
  for i = 1, x.E do
    lift[i] = {}
    for j = 1, y.E do
      lift[i][j] = same and i == j and 0 / 0 or n[i][j] * tokens / (of_x[i] * of_y[j])
    end
  end
  local K, E = x.single, x.E
  local chance = not same and 1 or x.fixed and (K - 1) * E / (K * (E - 1)) or 0 / 0
  return {label = label, layer = x.layer, place = x.place, counts = result.f64(n),
          lift = result.f64(lift), strongest = strongest(lift, n, same), chance = chance,
          tokens = tokens}
end

local function has_pairs(x)
  for t = 1, #x.first - 1 do
    if x.first[t + 1] - x.first[t] > 1 then return true end
  end
  return false
end

local function within(all, r)
  local alone
  for _, s in ipairs(all) do
    for _, x in ipairs(s.mixtures) do
      if has_pairs(x) then r.layers[#r.layers + 1] = pair(x, x, s.n, x.label) else alone = x end
    end
  end
  if #r.layers == 0 then
    fail("%s: a token has one expert (router '%s', top_k %d): no two are chosen together; layers = "
      .. "{1, 2} tells how the choices of two layers go together", alone.label, alone.router,
      alone.K)
  end
end

local function across(all, which, r)
  local found, stack, names = {}, {}, {}
  for _, s in ipairs(all) do
    for _, x in ipairs(s.mixtures) do
      names[#names + 1] = x.place
      for i, place in ipairs(which) do
        if x.place == tostring(place) and not found[i] then found[i], stack[i] = x, s end
      end
    end
  end
  for i = 1, 2 do
    if not found[i] then
      options.unknown("coactivation", "layer", which[i], names)
    end
  end
  if stack[1] ~= stack[2] then
    fail("%s and %s read other tokens: the one's are the encoder's", found[1].label, found[2].label)
  end
  local x, y = found[1], found[2]
  r.layers[1] = pair(x, y, stack[1].n, ("%s (down) and %s (across)"):format(x.label, y.label))
end

-- ---- texts ----

local PAIRS = 5

local function heats(r)
  local list = {}
  for i, layer in ipairs(r.layers) do
    local values = layer.lift:table()
    list[i] = {title = layer.label .. ": how often two experts have a token together, by chance "
                 .. result.number(layer.chance, 2) .. " (lift)",
               rows = result.numbers(#values), columns = result.numbers(#values[1]),
               values = values, least = 0, most = 2}
  end
  return list
end

local function text(r)
  local lines = {}
  for i, heat in ipairs(heats(r)) do
    result.append(lines, result.heat(heat))
    local list = {}
    for k, p in ipairs(r.layers[i].strongest) do
      if k <= PAIRS then list[k] = ("%d and %d x%.2f"):format(p[1], p[2], p.lift) end
    end
    lines[#lines + 1] = "strongest: " .. table.concat(list, ", ")
  end
  return lines
end

local function csv(r)
  local rows = {{"layer", "expert", "other", "tokens", "lift"}}
  for _, layer in ipairs(r.layers) do
    local n, lift = layer.counts:table(), layer.lift:table()
    for i = 1, #n do
      for j = 1, #n[i] do rows[#rows + 1] = {layer.label, i, j, n[i][j] // 1 | 0, lift[i][j]} end
    end
  end
  return rows
end

local new = result.class("coactivation", "layers tokens", {text = text, csv = csv, heat = heats})

coactivation.rows = assignments.options {
  {"layers", "table", help = "{a, b}: experts of one layer and of another, in place of one alone"},
}

local function check_layers(which)
  if which and #which ~= 2 then fail("layers takes two of them, {a, b}: it has %d", #which) end
end

local function measure(m, d, o)
  subject.check_mixtures("coactivation", m)
  local r = {layers = {}, tokens = 0}
  local all = assignments.of(m, "coactivation", {{data = d, label = 1}}, o)
  for _, s in ipairs(all) do r.tokens = r.tokens + s.n end
  if o.layers then across(all, o.layers, r) else within(all, r) end
  return new(r)
end

--- coactivation(m or run, data, {layers=, batches=4, batch=16, context=})
function coactivation.of(x, d, asked)
  return options.call(function()
    local o = options.read("coactivation", asked, coactivation.rows)
    check_layers(o.layers)
    d = d or subject.data("coactivation", x)
    if not engine.is_data(d) then fail("takes a data set, got %s", type(d)) end
    return subject.still("coactivation", x, measure, d, o)
  end)
end

return coactivation
