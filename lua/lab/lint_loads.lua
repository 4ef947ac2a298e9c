-- What a linter sees of loads and capacity.  Checks of lua/lab/lint.lua.

local capacity = require "switchyard.model.capacity"
local run = require "switchyard.lab.lint_run"
local states = require "switchyard.lab.lint_states"

local loads = {}

local SETTLED = 100   -- steps after which an expert without tokens is taken for dead
local ENOUGH = 16     -- fair share of tokens an expert, below which a load says nothing
local FEW = 1.15      -- effective experts over K that are a collapse

local function chooses(x) return x.leaf ~= nil and x.E > x.K end

local function entropy(n, sum)
  local H = 0
  for _, c in ipairs(n) do
    if c > 0 then H = H - c / sum * math.log(c / sum) end
  end
  return math.exp(H)
end

-- Ties send all to the lowest: of a router that begins with zeros that is no collapse.
local function tied(x)
  if not x.logits then return false end
  local list = states.flat(x.logits)
  for i = 2, math.min(#list, x.W) do
    if list[i] ~= list[1] then return false end
  end
  return true
end

local function enough(x, sum) return sum >= ENOUGH * x.E end

-- Of a run by its own loads; true: they say it.
local function dead_in_series(look, x, found)
  local dead, rows = run.dead_of(look, x.place)
  if not dead then return false end
  local mask = look.m.inputs["mask." .. x.place]
  local off, list = mask and mask:table() or {}, {}
  for _, e in ipairs(dead) do
    if (off[e] or 0) == 0 then list[#list + 1] = e end
  end
  if #list > 0 then
    found(x, "experts %s had under 1%% of a fair share in each of the last %d steps",
      table.concat(list, ", "), rows)
  end
  return true
end

--- dead
function loads.dead(look, found, left)
  if look.steps < SETTLED then
    return left("%d steps are learned from, too few", look.steps)
  end
  local s, why = look:train()
  states.each(s, why, left, chooses, function(x)
    if x.place and dead_in_series(look, x, found) then return end
    local n, sum = states.counts(x, x.experts)
    local dead = {}
    for e, c in ipairs(n) do
      if c == 0 then dead[#dead + 1] = e end
    end
    if #dead == 0 or not enough(x, sum) or entropy(n, sum) < FEW * x.K then return end
    found(x, "experts %s have none of %d assignments of %d tokens, after %d steps (fair: %.0f)",
      table.concat(dead, ", "), sum, x.N, look.steps, sum / x.E)
  end)
end

--- collapse
function loads.collapse(look, found, left)
  local s, why = look:train()
  states.each(s, why, left, function(x) return chooses(x) and x.E >= 2 * x.K end, function(x)
    local n, sum = states.counts(x, x.experts)
    local effective = sum > 0 and entropy(n, sum) or x.E
    if effective >= FEW * x.K or not enough(x, sum) or tied(x) then return end
    local most = math.max(table.unpack(n))
    found(x, "%d tokens use %.2f experts of %d (exp of the load's entropy; %d a token): the "
      .. "fullest has %.0f%% of them", x.N, effective, x.E, x.K, 100 * most / x.N)
  end)
end

-- ---- capacity ----

-- The factor that was asked for, of the layer, its router or the model.
local function asked(look, x)
  local own = rawget(x.own or {}, "capacity")
  for _, given in pairs {x.options.capacity or false, own or false,
                         look.m.cfg.capacity or false} do
    local c = type(given) == "number" and given or type(given) == "table" and given.train
    if c then return c end
  end
end

--- capacity_ignored
function loads.ignored(look, found, left)
  local s, why = look:train(states.skewed)
  states.each(s, why, left, chooses, function(x)
    local c = asked(look, x)
    if not c then return end
    local n = states.counts(x, tensor(states.placed(x), {dtype = "i32"}))
    local groups = x.group and x.N // x.group or 1
    local slots = groups * (x.slots or capacity.up(c * x.N * x.K / x.E))
    local most = math.max(table.unpack(n))
    if most <= slots then return end
    found(x, "capacity %.4g is %d slots an expert of %d tokens; when all of them want one expert, "
      .. "it takes %d", c, slots, x.N, most)
  end)
end

--- mostly_dropped
function loads.dropped(look, found, left)
  local s, why = look:train()
  states.each(s, why, left, function(x) return x.E > 1 end, function(x)
    local _, wanted = states.counts(x, x.experts)
    local _, had = states.counts(x, tensor(states.placed(x), {dtype = "i32"}))
    if wanted == 0 or had >= wanted / 2 then return end
    found(x, "of %d assignments %d have a place: %.1f%% are dropped", wanted, had,
      100 * (1 - had / wanted))
  end)
end

-- Tokens without any expert, and the largest value that is added to the output of one.
local function passed(x)
  local list, plus = states.placed(x), states.flat(x.plus)
  local M, C, most, n = #list // x.N, #plus // x.N, 0, 0
  for t = 1, x.N do
    local has = false
    for k = (t - 1) * M + 1, t * M do has = has or list[k] > 0 end
    if not has then
      n = n + 1
      for c = (t - 1) * C + 1, t * C do most = math.max(most, math.abs(plus[c])) end
    end
  end
  return n, most
end

--- dropped_passed
function loads.passed(look, found, left)
  local s, why = look:train(states.skewed)
  states.each(s, why, left, function(x) return x.plus ~= nil end, function(x)
    local n, most = passed(x)
    if n == 0 or most < 1e-6 then return end
    found(x, "when all %d tokens want one expert %d get none, and up to %.3g is added to their "
      .. "output; it must be 0", x.N, n, most)
  end)
end

return loads
