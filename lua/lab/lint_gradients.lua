-- What a linter sees of gradients: whether the language model's loss reaches router and experts,
-- whether it is finite, how far one step goes.  Checks of lua/lab/lint.lua.

local engine = require "switchyard.engine"
local states = require "switchyard.lab.lint_states"

local gradients = {}

local NOTHING = 1e-5 -- of the gradient in the experts, what is left of an exact 0 by rounding
local FAR = 0.8      -- share of tokens that one step may send elsewhere

local function learns_at_all(x)
  for _, p in ipairs(x.router) do
    if not p.frozen then return true end
  end
  return false
end

-- Do the gates go by the logits at all?
local function gates_move(look, i, before)
  for k = 1, 2 do
    local now = states.flat(look:train(states.mixed(k)).mixtures[i].gates)
    for j, g in ipairs(now) do
      if math.abs(g - before[j]) > 1e-5 * math.max(1, math.abs(g)) then return true end
    end
  end
  return false
end

local function auxiliary(s, i)
  local most = 0
  for _, loss in ipairs(s.losses) do most = math.max(most, states.largest(loss.grads[i])) end
  return most
end

-- What of the router is cut off, where its logits are not.
local function check_weights(x, found)
  for _, p in ipairs(x.router) do
    if not p.frozen and states.largest(p.largest) == 0 then
      found(x, "its parameter %s has no gradient of the language model's loss%s", p.name,
        x.lm and (", which is up to %.2g at the logits"):format(states.largest(x.lm)) or "")
    end
  end
end

--- router_untaught
function gradients.untaught(look, found, left)
  local s, why = look:learn()
  states.each(s, why, left, function(x) return x.E > 1 and #x.router > 0 end, function(x, i)
    if not learns_at_all(x) then return end
    if not x.leaf then return check_weights(x, found) end
    look:learn()
    local lm, experts, aux = states.largest(x.lm), states.largest(x.learns), auxiliary(s, i)
    if experts == 0 and #x.of_experts > 0 then return end -- of experts_still
    local before = states.flat(x.gates)
    local text = ("at the logits of %d tokens the language model's loss has gradients up to %.2g, "
      .. "auxiliary losses up to %.2g; in the experts %.2g"):format(x.N, lm, aux, experts)
    if not x.lm then return found(x, "%s (no way leads there)", text) end
    if lm > NOTHING * experts then return check_weights(x, found) end
    if not gates_move(look, i, before) then
      return found(x, "%s; the gates are %.6g whatever the logits are", text, before[1])
    end
  end)
end

--- loss_not_finite
function gradients.finite(look, found, left)
  local s, why = look:learn(states.favoured)
  if not s then return left("%s", why) end
  for _, loss in ipairs(s.losses) do
    for i, g in pairs(loss.grads) do
      local good, v = states.finite(g)
      if not good then
        found(s.mixtures[i], "loss %s is %.3g where each expert has the same load, and its "
          .. "gradient at the logits %.3g", loss.name, loss.value:item(), v)
      end
    end
  end
  for _, x in ipairs(s.mixtures) do
    if x.lm and not states.finite(x.lm) then
      found(x, "the language model's loss has a gradient that is not finite at even loads")
    end
  end
end

local function text_of(list)
  return #list <= 8 and table.concat(list, ", ")
    or table.concat(list, ", ", 1, 8) .. (" and %d more"):format(#list - 8)
end

--- experts_still
function gradients.still(look, found, left)
  local s, why = look:learn()
  states.each(s, why, left, function(x) return #x.of_experts > 0 end, function(x)
    local n = states.counts(x, tensor(states.placed(x), {dtype = "i32"}))
    local learns, still, tokens = x.learns and states.flat(x.learns) or {}, {}, 0
    for e = 1, x.E do
      if n[e] > 0 and (learns[e] or 0) == 0 then
        still[#still + 1], tokens = e, tokens + n[e]
      end
    end
    if #still == 0 then return end
    found(x, "experts %s have %d of the batch's %d assignments, and a gradient of exactly 0",
      text_of(still), tokens, x.N * x.K)
  end)
end

-- ---- how far a step goes ----

local function step_all(list, lr)
  for _, p in ipairs(list) do
    local by = p.kept:sign() * lr
    engine.copy(p.param, (p.param:detach() - by))
  end
end

-- Router parameters that have a gradient, with a copy of it: the next run overwrites it.
local function moved_of(s)
  local list, tensors = {}, {}
  for _, x in ipairs(s.mixtures) do
    for _, p in ipairs(x.router or {}) do
      if p.grad and not p.frozen then
        list[#list + 1] = {param = p.param, kept = engine.clone(p.grad)}
        tensors[#tensors + 1] = p.param
      end
    end
  end
  return list, tensors
end

--- router_too_fast
function gradients.too_fast(look, found, left)
  local lr = look.lr
  if not lr then return left("no learning rate is known: lint(m, {lr = ...})") end
  local s, why = look:learn()
  if not s then return left("%s", why) end
  local list, tensors = moved_of(s)
  local before = {}
  for i, x in ipairs(s.mixtures) do before[i] = states.flat(x.experts) end
  look:changing(tensors, function()
    step_all(list, lr)
    look:learn()
    for i, x in ipairs(s.mixtures) do
      local share = states.changed(before[i], states.flat(x.experts), #before[i] // x.N)
      if x.leaf and x.E > x.K and share > FAR then
        found(x, "a step of lr = %.3g in each weight of the router, as Adam's are, changes the "
          .. "experts of %.0f%% of %d tokens", lr, 100 * share, x.N)
      end
    end
  end)
end

return gradients
