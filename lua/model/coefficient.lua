-- A number that goes by the steps: coefficients of balance rules, and options of routers that are
-- marked scheduled = true.  Where a number stands there may stand a table, in the words of the
-- learning rate (include/switchyard/hyper.h):
--
--     aux = {0.01, warmup = 1000, schedule = "cosine", steps = 20000, min = 0.001}
--     gamma = {1e-3, last = 14000}
--
--  1. It is its value times step / warmup during the warm-up; then it stays (constant), or falls to
--     min (0) at `steps`: cosine, linear, or wsd, which stays and falls linearly over the last
--     `decay` share; behind the step `last` it is 0.
--  2. It is a function of nn.step() in the graph, with two inputs, the value and what the rest
--     comes to: so a run may change both while it goes on (r.aux = {...}), and journal and
--     checkpoints have them as other inputs.
--  3. A number alone is the input that it always was.

local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"

local coefficient = {}

local SCHEDULES = {"constant", "cosine", "linear", "wsd"}
local MOST = 1e12

local function rows(row)
  return {
    {"value", "number", row[3], row[4], row[5]}, {"warmup", "integer", 0, 0, MOST},
    {"schedule", "string", nil, choices = SCHEDULES}, {"steps", "integer", nil, 1, MOST},
    {"min", "number", nil, row[4], row[5]}, {"decay", "number", nil, 0, 1},
    {"last", "integer", nil, 1, MOST},
  }
end

local function check(what, o)
  local function fail(...) error(what .. ": " .. string.format(...), 0) end
  if o.value == nil then fail("its value is missing: {0.01, warmup = 100}") end
  if o.schedule == "constant" then
    for _, name in ipairs {"steps", "min"} do
      if o[name] then fail("%s has no effect: the schedule is constant", name) end
    end
  elseif not o.steps then
    fail("steps is missing: where the schedule %s ends", o.schedule)
  elseif o.steps <= o.warmup then
    fail("steps must be more than warmup: steps is %d, warmup is %d", o.steps, o.warmup)
  end
  if o.decay and o.schedule ~= "wsd" then
    fail("decay has no effect: the schedule is %s", o.schedule)
  end
end

--- Of what is given for a row, a table: {value=, warmup=, schedule=, ...}, checked.
function coefficient.read(what, row, given)
  what = ("%s: %s"):format(what, row[1])
  local o = {}
  for k, v in pairs(given) do o[k == 1 and "value" or k] = v end
  if given[1] ~= nil and given.value ~= nil then
    error(what .. ": its value is given twice", 0)
  end
  o = options.read(what, o, rows(row))
  o.schedule = o.schedule or o.steps and "cosine" or "constant"
  check(what, o)
  return o
end

-- ---- as numbers ----

local COUNT = 6 -- warmup, top, 1 / (steps - top), min, cosine, last

-- The last step before it falls, and what a step then goes of the way.
local function fall(o)
  if o.schedule == "constant" then return 0, 0 end
  local top = o.warmup
  if o.schedule == "wsd" then top = math.max(top, o.steps * (1 - (o.decay or 0.2))) end
  return top, o.steps > top and 1 / (o.steps - top) or 0
end

--- What the rest of it comes to: six numbers.
function coefficient.numbers(o)
  local top, rate = fall(o)
  return tensor {o.warmup, top, rate, o.min or 0, o.schedule == "cosine" and 1 or 0,
                 o.last or MOST}
end

--- The name of the input that has them.
function coefficient.input(name) return name .. ".schedule" end

-- ---- in the graph ----

local function zero() return tensor.zeros() end

--- The value at a step (a scalar; before the first it is that of the first), of its height and of
-- numbers (6).
function coefficient.at(step, height, numbers)
  step = step:clamp(1)
  local function number(i) return numbers:narrow(1, i, 1):view {} end
  local part = ((step - number(2)) * number(3)):clamp(0, 1)
  local linear, cosine = part * -1 + 1, ((part * math.pi):cos() + 1) * 0.5
  local shape = number(5):gt(0):where(cosine, linear)
  local after = number(4) + (height - number(4)) * shape
  local before = height * step / number(1):clamp(1)
  local now = step:le(number(1)):where(before, after)
  return step:le(number(6)):where(now, zero())
end

--- What a live run is to be told of it, whose next step is this one; nil: it is its height.
function coefficient.outlook(name, step, height, numbers)
  local function at(n) return coefficient.at(tensor(n), height, numbers):item() end
  local next, last = at(step), at(MOST)
  if next == height:item() then return nil end
  return next == last and ("%s is %.6g from now on: its schedule is over"):format(name, next)
    or ("%s is %.6g in step %d: its schedule counts from the run's first"):format(name, next, step)
end

--- The scalar that a row's value is in the program that is recorded: value is a number or what
-- coefficient.read gave.
function coefficient.tensor(row, value)
  local name, d = row[1], nn.description()
  if type(value) == "number" then return nn.input(name, value, row[4], row[5]) end
  d.coefficients = d.coefficients or {}
  local height = nn.input(name, value.value, row[4], row[5])
  local numbers = nn._input_of_all(coefficient.input(name), coefficient.numbers(value))
  if not d.coefficients[name] then
    d.coefficients[name] = coefficient.at(nn.step(), height, numbers)
    nn._observe_of_all(name, d.coefficients[name])
  end
  return d.coefficients[name]
end

return coefficient
