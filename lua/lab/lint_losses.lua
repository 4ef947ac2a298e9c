-- What a linter sees of auxiliary losses: whether they balance, and what they go by.  Checks of
-- lua/lab/lint.lua.
--
-- A balance loss is known by its values: those of E * sum of f_e P_e, whatever its factor, under
-- several loads (states.mixed).  f: shares of the assignments; P: the mean scores.

local states = require "switchyard.lab.lint_states"

local losses = {}

local STATES = 4        -- loads under which a formula must hold
local SAME = 2e-3       -- relative difference of one formula's values
local APART = 5e-2      -- and by how much two formulas differ where one can be told from another
local LATER = {100, 1000} -- steps at which a coefficient that is 0 now may be another

-- ---- formulas ----

local function zeros(E)
  local list = {}
  for e = 1, E do list[e] = 0 end
  return list
end

-- Sums over tokens n of f(n) -> list of (expert, weight), as shares of their sum.
local function shares(x, add)
  local list, sum = zeros(x.E), 0
  for n = 1, x.N do
    add(n, function(e, w)
      list[e], sum = list[e] + w, sum + w
    end)
  end
  for e = 1, x.E do list[e] = list[e] / math.max(sum, 1e-300) end
  return list
end

-- f, P of what is now in a mixture's tensors, of tokens that are no padding; of_chosen: P of the
-- gates of the chosen; masked: of their scores.
local function seen(x)
  local experts, counted = states.flat(x.experts), states.flat(x.counted or x.experts)
  local p, gates = states.flat(x.scores), states.flat(x.gates)
  local pad = x.padding and states.flat(x.padding)
  local M, C, E = #experts // x.N, #counted // x.N, x.E
  local function open(n) return not pad or pad[n] == 0 or pad[n] == false end
  local out = {}
  out.f = shares(x, function(n, add)
    for k = (n - 1) * C + 1, n * C do
      if counted[k] > 0 then add(counted[k], 1) end
    end
  end)
  out.P = shares(x, function(n, add)
    for e = 1, open(n) and E or 0 do add(e, p[(n - 1) * E + e]) end
  end)
  out.of_chosen = shares(x, function(n, add)
    local sum = 0
    for k = (n - 1) * M + 1, n * M do sum = sum + (experts[k] > 0 and gates[k] or 0) end
    for k = (n - 1) * M + 1, n * M do
      if experts[k] > 0 and sum > 0 then add(experts[k], gates[k] / sum) end
    end
  end)
  out.masked = zeros(E)
  for n = 1, x.N do
    for k = (n - 1) * M + 1, n * M do
      local e = experts[k]
      if e > 0 then out.masked[e] = out.masked[e] + p[(n - 1) * E + e] / x.N end
    end
  end
  return out
end

local function dot(a, b)
  local sum = 0
  for e = 1, #a do sum = sum + a[e] * b[e] end
  return sum
end

-- Is a / b the same number in all states?
local function proportional(a, b)
  local least, most = math.huge, -math.huge
  for i = 1, #a do
    local ratio = a[i] / b[i]
    if ratio ~= ratio or ratio <= 0 then return false end
    least, most = math.min(least, ratio), math.max(most, ratio)
  end
  return most - least <= SAME * most
end

local function tells_apart(a, b)
  local least, most = math.huge, -math.huge
  for i = 1, #a do
    local ratio = a[i] / b[i]
    least, most = math.min(least, ratio), math.max(most, ratio)
  end
  return most - least > APART * most
end

local function known(x) return x.scores ~= nil and x.leaf ~= nil and x.E > 1 end

-- Of each state: every mixture's f and P, and the losses' values.
local function series(look)
  local list = {}
  for i = 1, STATES do
    local s, why = look:train(states.mixed(i))
    if not s then return nil, why end
    local now = {mixtures = {}, values = {}}
    for j, x in ipairs(s.mixtures) do now.mixtures[j] = known(x) and seen(x) or false end
    for j, loss in ipairs(s.losses) do now.values[j] = loss.value:item() end
    list[i] = now
  end
  return list, nil
end

local function each_state(list, f)
  local out = {}
  for i, now in ipairs(list) do out[i] = f(now) end
  return out
end

-- Losses that weigh something now or later in training.
local function in_force(look, s)
  local on, any = {}, false
  for j, loss in ipairs(s.losses) do on[j] = loss.weighed:item() ~= 0 end
  for _, step in ipairs(LATER) do
    look:train(nil, {step = step})
    for j, loss in ipairs(s.losses) do on[j] = on[j] or loss.weighed:item() ~= 0 end
  end
  for _, v in pairs(on) do any = any or v end
  look:train()
  return on, any
end

-- ---- P over the chosen, pooled layers ----

-- Are all scores of experts that a token has not chosen 0?
local function chosen_alone(x)
  local p, experts = states.flat(x.scores), states.flat(x.experts)
  local M, chosen, others = #experts // x.N, {}, 0
  for n = 1, x.N do
    for k = (n - 1) * M + 1, n * M do chosen[(n - 1) * x.E + experts[k]] = experts[k] > 0 end
  end
  for i, v in ipairs(p) do
    if not chosen[i] then
      others = others + 1
      if v ~= 0 then return 0 end
    end
  end
  return others
end

--- scores_of_chosen
function losses.of_chosen(look, found, left)
  local list, why = series(look)
  if not list then return left("%s", why) end
  local s = look:train(states.mixed(1))
  for _, x in ipairs(s.mixtures) do
    local zeros = known(x) and x.E > x.K and not x.varies and chosen_alone(x) or 0
    if zeros > 0 then
      found(x, "all %d scores of experts that a token has not chosen are exactly 0", zeros)
    end
  end
  for j, loss in ipairs(s.losses) do
    local x = loss.of and s.mixtures[loss.of]
    if x and known(x) then
      local function of(name)
        return each_state(list, function(now)
          local m = now.mixtures[loss.of]
          return dot(m.f, m[name])
        end)
      end
      local values, right = each_state(list, function(now) return now.values[j] end), of "P"
      for _, name in ipairs {"of_chosen", "masked"} do
        local wrong = of(name)
        if proportional(values, wrong) and tells_apart(wrong, right)
          and not proportional(values, right) then
          found(x, "under %d loads the values of loss %s are those of sum f_e P_e with P of the %d "
            .. "chosen experts (%.4g times, within %.0e); with P over all %d the ratio goes from "
            .. "%.3g to %.3g", STATES, loss.name, x.K, values[1] / wrong[1], SAME, x.E,
            values[1] / right[1], values[STATES] / right[STATES])
          break
        end
      end
    end
  end
end

local function mean_of(list, name, E)
  local out = zeros(E)
  for _, m in ipairs(list) do
    for e = 1, E do out[e] = out[e] + m[name][e] / #list end
  end
  return out
end

-- Every mixture has scores over as many experts: sum f P added, and of the means.
local function added_and_pooled(list, s)
  local E = s.mixtures[1].E
  for _, x in ipairs(s.mixtures) do
    if not known(x) or x.E ~= E then return nil end
  end
  return each_state(list, function(now)
    local sum = 0
    for _, m in ipairs(now.mixtures) do sum = sum + dot(m.f, m.P) end
    return sum
  end), each_state(list, function(now)
    return dot(mean_of(now.mixtures, "f", E), mean_of(now.mixtures, "P", E))
  end)
end

--- loss_pooled
function losses.pooled(look, found, left)
  local list, why = series(look)
  if not list then return left("%s", why) end
  local s = look:train()
  if #s.mixtures < 2 then return left("there is one mixture") end
  local added, pooled = added_and_pooled(list, s)
  if not added then return end
  for j, loss in ipairs(s.losses) do
    local values = each_state(list, function(now) return now.values[j] end)
    if proportional(values, pooled) and tells_apart(pooled, added) then
      found(nil, "under %d loads the values of loss %s are those of the mean loads and scores of "
        .. "%d layers (%.4g times); added layer by layer the ratio goes from %.3g to %.3g", STATES,
        loss.name, #s.mixtures, values[1] / pooled[1], values[1] / added[1],
        values[STATES] / added[STATES])
    end
  end
end

-- ---- is there a balance, and does it reach the router ----

local function learned(x)
  for _, p in ipairs(x.router) do
    if not p.frozen then return true end
  end
  return false
end

-- Does a state that the router has move when all want one expert?
local function moves(s, i)
  for _, u in ipairs(s.updates) do
    if not u.of or u.of == i then
      local a, b = states.flat(u.value), states.flat(u.state)
      for k = 1, #a do
        if a[k] ~= b[k] then return true end
      end
    end
  end
  return false
end

-- Values of the losses in force that have a gradient at mixture i: {j = value}.
local function of_mixture(s, i, on)
  local out = {}
  for j, loss in ipairs(s.losses) do
    if on[j] and (not loss.of or loss.of == i) and states.largest(loss.grads[i]) > 0 then
      out[j] = loss.value:item()
    end
  end
  return out
end

-- Is one of them larger where loads are uneven?  What it says of the ones that are not.
local function grows(s, i, on, even)
  local said = {}
  for j, loss in ipairs(s.losses) do
    local now = loss.value:item()
    if even[i][j] and now > 1.02 * even[i][j] + 1e-12 then return true end
    if even[i][j] then said[#said + 1] = ("%s %.4g and %.4g"):format(loss.name, even[i][j], now) end
  end
  return false, #said > 0 and ", losses in force with even and uneven loads: "
    .. table.concat(said, ", ") or ", no auxiliary loss is in force"
end

-- Assignments to the first expert of each mixture when all tokens want it a little more.
local function first_loads(look)
  local out = {}
  for i, x in ipairs(look:train(states.first).mixtures) do
    out[i] = states.counts(x, x.experts)[1]
  end
  return out
end

local function by_weights(s, on)
  for j, loss in ipairs(s.losses) do
    if on[j] and states.largest(loss.weights) > 0 then return true end
  end
  return false
end

--- no_balance
function losses.none(look, found, left)
  local s, why = look:train()
  if not s then return left("%s", why) end
  local on = in_force(look, s)
  if by_weights(s, on) then return end
  local wanted, even = first_loads(look), {}
  look:train(states.mixed(1))
  local with = {}
  for i in ipairs(s.mixtures) do with[i] = of_mixture(s, i, on) end
  look:train(states.favoured)
  for i in ipairs(s.mixtures) do
    even[i] = {}
    for j in pairs(with[i]) do even[i][j] = s.losses[j].value:item() end
  end
  look:train(states.skewed)
  for i, x in ipairs(s.mixtures) do
    if x.leaf and x.E > x.K and learned(x) and wanted[i] > 0.9 * x.N and not moves(s, i) then
      local good, said = grows(s, i, on, even)
      if not good then
        found(x, "when all %d tokens want expert 1 it gets %d of them, no state moves against it%s",
          x.N, wanted[i], said)
      end
    end
  end
end

--- loss_inert
function losses.inert(look, found, left)
  local s, why = look:train(states.mixed(1))
  if not s then return left("%s", why) end
  for _, loss in ipairs(s.losses) do
    local value, most = loss.weighed:item(), states.largest(loss.weights)
    local open = false
    for i, g in pairs(loss.grads) do
      most = math.max(most, states.largest(g))
      open = open or s.mixtures[i].leaf ~= nil
    end
    local x = loss.of and s.mixtures[loss.of]
    if value ~= 0 and most == 0 and (not x or x.leaf and learned(x)) then
      found(x, "loss %s is %.4g (weighed %.3g), and its gradient at the router is exactly 0",
        loss.name, loss.value:item(), value)
    end
  end
end

return losses
