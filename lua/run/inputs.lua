-- What a live run may change of its model by r.NAME = x without a new plan: the inputs of its
-- programs (nn.input), among them the coefficients of balance rules.
--
--  1. They are kept in single precision and read back as they were given.
--  2. What goes by a whole step (scope = "step") is counted before each step while a coefficient
--     that weighs it is not 0.

local coefficient = require "switchyard.model.coefficient"
local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"
local routing = require "switchyard.model.routing"

local inputs = {}

local function fail(...) error("train: " .. string.format(...), 0) end

-- ---- read back ----

local function single(x) return tensor(x):item() end

-- v, which was kept in single precision, as it was given, or as the decimal that it is of.
local function as_given(v, given)
  if type(given) == "number" and single(given) == single(v) then return given end
  local short = tonumber(("%.7g"):format(v))
  return short and single(short) == single(v) and short or v
end

--- r.NAME of an input.
function inputs.shown(r, name)
  local input = r._m.inputs[name]
  return input.size == 1 and as_given(input:item(), r._m._given[name]) or input
end

--- r.mix, or nil; given: the shares as they were set, or nil.
function inputs.mix(r, given)
  local shares, sum = r._h:mix(), 0
  for _, share in ipairs(given or {}) do sum = sum + share end
  for i, share in ipairs(shares or {}) do shares[i] = as_given(share, given and given[i] / sum) end
  return shares
end

-- ---- what is counted before a step ----

--- Of the coefficients that need it, {name = true, [1] = true where it is needed always}, their
-- names, where all of which are 0 nothing is counted; nil: it always is.
function inputs.weights(counted_for)
  local names = {}
  for name in pairs(counted_for) do
    if name == 1 then return nil end
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

--- A program of m counts, which the line says: the line, if it does so from the beginning.
function inputs.counts(m, weights, line)
  m._counting, m._weights = line, {}
  for _, name in ipairs(weights or {}) do
    if m.inputs[name]:item() ~= 0 then m._weights = {} return line end
    m._weights[name] = true
  end
  return not weights and line or nil
end

-- A coefficient that was 0 may make each step dearer.
local function tell_counting(r, name, value)
  if not r._m._weights[name] or value == 0 then return end
  r._m._weights = {}
  engine.event(r.name, "note", r._m._counting)
end

-- ---- set ----

-- r.aux = {0.02, warmup = 100}: of a coefficient that was given as such a table.
local function set_coefficient(r, name, value)
  local numbers, now = coefficient.input(name), r._m.inputs[name]:item()
  if not r._m.inputs[numbers] then
    fail("%s goes by no schedule in this model, it takes a number; one that is made with balance "
      .. "= {%s = {%.6g}} takes both", name, name, now)
  end
  local range = r._m._ranges[name] or {name, "number"}
  local o = coefficient.read("train", {name, "number", now, range[4], range[5]}, value)
  r._m:_quietly(function() -- no step has the one and not the other
    inputs.set(r, name, o.value)
    inputs.set(r, numbers, coefficient.numbers(o))
  end)
end

-- Where a coefficient's schedule makes it another than what r.NAME shows, a line says so.
local function tell_outlook(r, name)
  local numbers = r._m.inputs[coefficient.input(name)]
  if not numbers or rawget(r, "_in_hook") then return end
  local text = r._m:_quietly(function()
    return coefficient.outlook(name, r.step + 1, r._m.inputs[name], numbers)
  end)
  if text then engine.event(r.name, "note", text) end
end

--- r.NAME = value of an input.
function inputs.assign(r, name, value)
  inputs.set(r, name, value)
  tell_outlook(r, name)
end

--- The same, without a word.
function inputs.set(r, name, value)
  local m = r._m
  local input, range = m.inputs[name], m._ranges[name]
  if type(value) == "table" and input.size == 1 then return set_coefficient(r, name, value) end
  local fresh = type(value) == "number" and tensor.full(value) or value
  if type(fresh) ~= "userdata" or fresh.size ~= input.size then
    fail("%s takes %s", name, input.size == 1 and "a number" or input.size .. " numbers")
  end
  if range then options.check_range("train", value, range) end
  engine.copy(input, fresh)
  m._given[name] = value
  tell_counting(r, name, value)
  r._h:set_input(name, fresh)
end

-- What an option of the model's router, or of its balance rules, is, where the program was traced
-- with it: the row, the value, and how it is given.
local function traced(r, name)
  local cfg = r._m.cfg
  local router = cfg.router and nn.routers[routing.name_of(cfg.router)]
  if not router then return nil end
  local row = routing.option(router, name)
  if row then
    local own = routing.options("train", router, cfg.router, cfg)
    return row, rawget(own, name), ('router = {"%s", %s = ...}'):format(router.name, name)
  end
  row = routing.balance_row(router, name)
  if not row or row[2] == "number" then return nil end
  return row, (cfg.balance or {})[name] or row[3], ("balance = {%s = ...}"):format(name)
end

--- Why r.NAME is no field although the model's router has an option of that name; or nil.
function inputs.fixed(r, name)
  local row, value, how = traced(r, name)
  if not row then return nil end
  return ("%s is fixed for the run%s: its program was made with it; a model with %s has another")
    :format(name, value ~= nil and (" (%s)"):format(tostring(value)) or "", how)
end

--- Raise for what a router or balance rule has that cannot be set: an option that is fixed, a
-- coefficient that no mixture of the model goes by.
function inputs.refuse(r, name)
  local fixed = inputs.fixed(r, name)
  if fixed then fail("%s", fixed) end
  if not routing.is_coefficient(name) then return end
  local router = routing.name_of(r._m.cfg.router)
  if not router then fail("%s has no effect: no mixture has it", name) end
  fail("%s has no effect with router '%s'", name, router)
end

return inputs
