-- What an expert is made of in a live run, and what the verbs of r.layers[l].experts[e] do to it.
-- The same functions do an entry of the journal for the first time and again: they read the entry
-- alone (lua/run/verbs.lua makes it, lua/run/reconstruct.lua repeats it).  The run is held.
--
--   its parameters     experts.NAME under the mixture's path, whose first dimension counts experts
--   its router's row   of the mixture's other parameters of role router, and of its states, those
--                      whose first dimension is E, or has as many rows as gate.weight (rows behind
--                      the E are of other choices)
--   its inputs         masks, and what else of the layer's inputs is one of E numbers
--
--  1. What the optimizer keeps goes with the parameters (h:swap, h:blend: src/train/params.h).
--  2. Noise is a normal of the seed in the entry, the parameter and the expert: a Philox draw of
--     each element's place, so threads do not matter.

local engine = require "switchyard.engine"
local rules = require "switchyard.model.token_rules"
local parts = {}

--- The mixture of a key, its path and a point; the number of its layer.
function parts.mixture(m, key)
  for layer, list in pairs(m._moe) do
    for _, moe in ipairs(list) do
      if moe.path .. "." == key then return moe, layer end
    end
  end
  error(("no mixture '%s' in this model"):format(key), 0)
end

local function begins(name, prefix) return name:sub(1, #prefix) == prefix end

-- f(i, info) for each parameter of a mixture that has a line an expert: those of the experts
-- ("expert"), and of the router ("router").
local function each_param(m, moe, which, f)
  local of_experts = moe.path .. ".experts."
  local gate = m.params[moe.path .. ".gate.weight"]
  local lines = gate and gate.shape[1]
  for i, info in ipairs(m._info) do
    local first = m.params[i].shape[1]
    if begins(info.name, moe.path .. ".") then
      if which == "expert" and begins(info.name, of_experts) and info.experts > 0
        or which == "router" and info.role == "router"
          and (first == moe.experts or first == lines) then
        f(i, info)
      end
    end
  end
end

-- f(name, state) for each of the mixture's states with a line an expert.
local function each_state(m, moe, f)
  for _, name in ipairs(m._state_names) do
    local t = m.states[name]
    if begins(name, moe.path .. ".") and t.shape[1] == moe.experts then f(name, t) end
  end
end

--- Has the router something of each expert that goes with it?
function parts.has_rows(m, moe)
  local any = false
  each_param(m, moe, "router", function() any = true end)
  return any
end

--- f(name, input) for each input of the layer's that has a number an expert.
function parts.each_input(m, moe, f)
  local last = "." .. moe.place
  for _, name in ipairs(m._input_names) do
    local t = m.inputs[name]
    if name:sub(-#last) == last and t.shape[1] == moe.experts then f(name, t) end
  end
end

local function state_blend(t, to, from, share)
  if share == 1 then return end -- what has no share may not be finite
  local x = t:view(t.shape[1], -1)
  local y = share == 0 and x[from] or x[to] * share + x[from] * (1 - share)
  engine.copy(x[to], y:contiguous())
end

-- A line of x: of that expert.  Its deviation is noise times the root of the mean square of what
-- is there; of zeros it stays 0.
local function add_noise(x, noise, seed, name, expert)
  local z = engine.zeros(x.shape)
  engine.fill(z, {"normal", 1}, seed, 0, ("clone %s %d"):format(name, expert))
  local size = (x * x):mean():sqrt()
  engine.copy(x, (x + z * (size * noise)):contiguous())
end

local function blend(m, h, e, to, from, share, router)
  local moe = parts.mixture(m, e.key)
  local function one(_, info) h:blend(info.name, to, from, share) end
  each_param(m, moe, "expert", one)
  if not router then return moe end
  each_param(m, moe, "router", one)
  each_state(m, moe, function(_, t) state_blend(t, to, from, share) end)
  return moe
end

--- An entry of kind clone: values {to, noise, router}.
function parts.clone(m, h, e)
  local to, noise, router = table.unpack(e.values:table())
  to = math.tointeger(to)
  local moe = blend(m, h, e, to, e.expert, 0, router == 1)
  if noise == 0 then return end
  local function one(i, info)
    add_noise(m.params[i]:detach()[to], noise, math.tointeger(e.value), info.name, to)
  end
  each_param(m, moe, "expert", one)
  if router == 1 then each_param(m, moe, "router", one) end
end

--- An entry of kind merge: values {other, share, router}.
function parts.merge(m, h, e)
  local other, share, router = table.unpack(e.values:table())
  blend(m, h, e, e.expert, math.tointeger(other), share, router == 1)
end

local function path_of(e) return e.key:sub(1, -2) end

--- The rules of tokens (lua/model/token_rules.lua) after an entry with these values.
function parts.ruled(all, e, values)
  local list = {}
  for i, v in ipairs(values and values:table() or {}) do list[i] = math.tointeger(v) end
  if e.kind == "swap" then return rules.swapped(all, path_of(e), e.expert, list[1]) end
  return rules.with(all, path_of(e), e.expert, e.kind, list)
end

--- An entry of kind swap: values {other}.
function parts.swap(m, h, e)
  local moe = parts.mixture(m, e.key)
  local a, b = e.expert, math.tointeger(e.values[1]:item())
  local function one(_, info) h:swap(info.name, a, b) end
  each_param(m, moe, "expert", one)
  each_param(m, moe, "router", one)
  each_state(m, moe, function(_, t)
    local x = t:view(t.shape[1], -1)
    local was = engine.clone(x[a]:contiguous())
    engine.copy(x[a], x[b]:contiguous())
    engine.copy(x[b], was)
  end)
end

return parts
