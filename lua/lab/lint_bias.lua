-- What a linter sees of what chooses and is moved without a gradient: biases, and other states of
-- a router.  Checks of lua/lab/lint.lua.

local engine = require "switchyard.engine"
local states = require "switchyard.lab.lint_states"

local bias = {}

local DISTINCT = 3  -- values of which it is no accident that bf16 can be all of them
local COMMON = 4    -- spreads that the common part of a bias may be
local MOST = 0.5    -- share of tokens that one update may move
local STEPS = 1e5   -- updates that a bias may need to move the median token

local function has_bias(x) return x.bias ~= nil and x.E > 1 end

-- What a step would make of a state, as a list; nil: nothing moves it.  Of several the last counts.
local function next_of(s, state)
  for i = #s.updates, 1, -1 do
    local u = s.updates[i]
    if rawequal(u.state, state) then return states.flat(u.value), u.value end
  end
end

local function span(list)
  local least, most, sum = math.huge, -math.huge, 0
  for _, v in ipairs(list) do
    least, most, sum = math.min(least, v), math.max(most, v), sum + v
  end
  return least, most, sum / #list
end

-- All biases go the same way, under two loads that are opposites of each other.
local function one_way(look, i, s)
  local way
  for _, nudge in ipairs {states.skewed, states.favoured, states.mixed(1)} do
    look:train(nudge)
    local x = s.mixtures[i]
    local after, before = next_of(s, x.bias), states.flat(x.bias)
    if not after then return nil end
    local least, most = math.huge, -math.huge
    for e, v in ipairs(after) do
      least, most = math.min(least, v - before[e]), math.max(most, v - before[e])
    end
    local sign = least > 0 and 1 or most < 0 and -1 or nil
    if not sign or way and way ~= sign then return nil end
    way = sign
  end
  return way
end

--- bias_drifts
function bias.drifts(look, found, left)
  local s, why = look:train()
  local any = states.each(s, why, left, has_bias, function(x, i)
    local least, most, mean = span(states.flat(x.bias))
    if math.abs(mean) > 0.5 and math.abs(mean) > COMMON * (most - least) then
      return found(x, "biases from %.4g to %.4g: their common part is %.4g, their spread %.4g",
        least, most, mean, most - least)
    end
    local way = one_way(look, i, s)
    if way then
      found(x, "each update moves all %d biases %s, whatever the loads are: they grow without "
        .. "bound", x.E, way > 0 and "up" or "down")
    end
  end)
  if s and not any then left("no bias chooses") end
end

--- bias_coarse
function bias.coarse(look, found, left)
  local s, why = look:train(states.mixed(1))
  local any = states.each(s, why, left, has_bias, function(x)
    local _, after = next_of(s, x.bias)
    local n, m = states.coarse(x.bias), after and states.coarse(after)
    if not n or m == false or math.max(n, m or 0) < DISTINCT then return end
    found(x, "all %d biases%s are numbers that bf16 has", x.E,
      m and ", and what an update makes of them," or "")
  end)
  if s and not any then left("no bias chooses") end
end

--- evaluation_moves
function bias.evaluation(look, found, left)
  local m, list = look.m, {}
  for i, name in ipairs(m._state_names) do list[i] = m.states[name] end
  if #list == 0 then return left("there are no states") end
  look:changing(list, function(before)
    local s, why = look:eval()
    if not s then return left("%s", why) end
    for i, name in ipairs(m._state_names) do
      local off = (list[i]:detach():cast "f64" - before[i]:cast "f64"):abs():max():item()
      if off > 0 then
        found(nil, "an evaluation of %d tokens moved state %s by %.3g", look.rows * look.length,
          name, off)
      end
    end
  end)
end

-- Choices of the batch once the biases are what an update makes of them.
local function after_update(look, s, x, i)
  local _, value = next_of(s, x.bias)
  if not value then return nil end
  local before, next_value = states.flat(x.experts), engine.clone(value)
  return look:changing({x.bias}, function(kept)
    engine.copy(x.bias, next_value)
    look:train()
    local after = states.flat(s.mixtures[i].experts)
    local step = (next_value - kept[1]):abs():max():item()
    return states.changed(before, after, #before // x.N), step
  end)
end

--- bias_jumps
function bias.jumps(look, found, left)
  local s, why = look:train()
  local any = states.each(s, why, left, has_bias, function(x, i)
    look:train()
    local share, step = after_update(look, s, x, i)
    if not share or share <= MOST then return end
    found(x, "one update, of %.3g at most, changes the experts of %.0f%% of %d tokens", step,
      100 * share, x.N)
  end)
  if s and not any then left("no bias chooses") end
end

-- Median over tokens of the K-th less the next of score + bias, where the scores are given.
local function margin(x)
  local p, b, list = states.flat(x.scores), states.flat(x.bias), {}
  for n = 1, x.N do
    local row = {}
    for e = 1, x.E do row[e] = p[(n - 1) * x.E + e] + b[e] end
    table.sort(row, function(a, c) return a > c end)
    list[n] = row[x.K] - row[x.K + 1]
  end
  table.sort(list)
  return list[(#list + 1) // 2]
end

--- bias_slow
function bias.slow(look, found, left)
  local s, why = look:train()
  local any = states.each(s, why, left, has_bias, function(x)
    if not x.scores or x.E <= x.K then return end
    local after, before = next_of(s, x.bias), states.flat(x.bias)
    local n, sum = states.counts(x, x.experts)
    local most, step = math.max(table.unpack(n)) / math.max(1, sum / x.E), 0
    for e, v in ipairs(after or {}) do step = math.max(step, math.abs(v - before[e])) end
    local apart = margin(x)
    if most < 2 or step == 0 or apart < STEPS * step then return end -- gamma = 0 is off
    found(x, "the fullest expert has %.1f of its fair share, and an update moves a bias by %.2g "
      .. "where the median token's margin is %.2g: %.0g updates", most, step, apart, apart / step)
  end)
  if s and not any then left("no bias chooses") end
end

return bias
