-- nn.moe: a mixture of SwiGLU experts; a router (lua/routers/) says which a token uses, balance rules
-- (lua/balance/) keep their loads even.  B batch, T tokens of a sequence, N = B*T, C width, E experts,
-- K experts a token, F expert width.
--
-- A router's route(ctx) is given a context:
--   ctx.x (N,C) f32, the layer's input    ctx.E ctx.K ctx.N ctx.B ctx.T    ctx.mode, as nn.mode()
--   ctx.layer, its number    ctx.options, the router's own    ctx.mask (E): 0, -inf of a disabled expert
--   ctx:logits{x=, w=, extra=} (N,E + extra): scores x w^T + mask; x: default ctx.x; w: default the parameter
--       gate.weight; extra: rows for experts that are none of the E
--   ctx:bias() (E): the state that chooses and does not weigh    ctx:ids() (N) i32 from 0
--   ctx:documents() (B,T) i32, or nil    ctx:setting(name): an option as nn.input: changed while it runs
--   ctx:load(scope) (for balance rules) shares of the assignments: "micro" (E), "sequence" (B,E), "step" (E)
-- and nn.param, nn.state, nn.update, nn.step_sum, nn.loss, nn.observe, tensor.rand and its like.  It returns
-- a table:
--   experts (N,M) i32 from 1, 0: none    gates (N,M): any M; a token may have fewer with fewer = true
--   or chosen (N,E) bool with gates (N,E): any number a token, or the tokens that each expert took;
--       slots: assignments of all tokens, where that is known (an expert takes its own number)
--   scores (N,E), rows sum to 1: for balance and the series gate.L    gate_on = "input": the gate multiplies
--       what the expert is given (K = 1)    plus (N,C): added to the output    update(load), after a step
--
--  1. Inputs, losses and series come in the order that they had: stored runs count on their names only,
--     hashes on the order of the operations.
--  2. The router is in fp32 whatever the precision of the experts (Fedus et al. 2021, section 2.4).

local engine = require "switchyard.engine"
local fields = require "switchyard.core.fields"
local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"
local routing = require "switchyard.model.routing"

-- ---- what a router is given ----

local methods = {}
local Context = fields.class("ctx", methods, "x E K N B T mode layer options given router coefficients bias_state raw routing")

local function in_fp32(f, ...)
  local before = engine.precision("fp32")
  local y = f(...)
  engine.precision(before)
  return y
end

function methods:logits(o)
  o = o or {}
  if self.raw and not next(o) then return nn.description() and self.raw + self:mask() or self.raw end
  local extra = o.extra or 0
  local w = o.w or nn.param("gate.weight", {self.E + extra, self.x.shape[2]}, nil, {role = "router"})
  self.raw = in_fp32(nn.linear, o.x or self.x, w)
  local mask = self:mask()
  return self.raw + (extra > 0 and mask:pad(1, 0, extra) or mask)
end

function methods:mask()
  local mixture = nn.description().mixture
  mixture.mask = mixture.mask or nn.input("mask", tensor.zeros(self.E))
  return mixture.mask
end

function methods:bias()
  self.bias_state = nn.state("gate.e_score_correction_bias", tensor.zeros(self.E))
  return self.bias_state
end

function methods:ids()
  local ids = nn.description().batch.tokens:view(-1)
  if ids.shape[1] == self.N then return ids end
  error(("moe: router '%s' goes by token ids: the layer has %d tokens, the model was given %d ids"):format(
    self.router.name, self.N, ids.shape[1]), 0)
end

function methods:documents() return nn.description().batch.documents end

local function row_of(name, ...)
  for _, rows in ipairs {...} do
    for _, row in ipairs(rows) do
      if row[1] == name then return row end
    end
  end
end

--- An option that may be changed while the model is trained, within the range of its row.
function methods:setting(name)
  local row = row_of(name, self.router.rows or {}, routing.balance_rows(self.router))
  if not row then error(("moe: router '%s' has no option '%s'"):format(self.router.name, tostring(name)), 0) end
  local value = self.options[name]
  if value == nil then value = self.coefficients[name] end
  if value == nil then value = row[3] end
  return nn.input(name, value, row[4], row[5])
end

-- Assignments of this micro-batch: a number, or a scalar where tokens may have fewer.
local function assigned(r) return r.count end

-- Loads of all micro-batches of a step: counts are whole numbers, so the bits are those of one
-- large batch.
local function step_load(r)
  local n = nn.micro_batches()
  if n == 1 then return r.load end
  local sum = nn.step_sum("load", (r.load * assigned(r)):round())
  if type(r.count) == "number" then return sum / (r.count * n) end
  return sum / sum:sum():maximum(tensor.ones(1))
end

--- Shares of the assignments before any drop; they sum to 1.
function methods:load(scope)
  local r = self.routing or error("moe: ctx:load is known when tokens are routed: in a balance rule", 0)
  if scope == nil or scope == "micro" then return r.load end
  if scope == "sequence" then return (r.experts:moe_load({experts = self.E, groups = self.B}):view(self.B, self.E)) end
  if scope ~= "step" then error(("moe: ctx:load: unknown scope '%s'; there are micro, sequence, step"):format(tostring(scope)), 0) end
  self.routing.step = self.routing.step or step_load(r)
  return self.routing.step
end

local function context(values)
  return fields.object(Context, values)
end

-- ---- what it returns ----

local function shape_text(t) return type(t) == "userdata" and "(" .. table.concat(t.shape, ", ") .. ")" or type(t) end

local function wrong(ctx, ...) error(("moe: router '%s' returned %s"):format(ctx.router.name, string.format(...)), 0) end

local function same(a, b)
  if type(a) ~= "userdata" or type(b) ~= "userdata" or #a.shape ~= #b.shape then return false end
  for i, n in ipairs(a.shape) do if b.shape[i] ~= n then return false end end
  return true
end

-- chosen (N,E) as experts (N,E): their numbers, 0 for none.
local function numbered(ctx, r)
  local numbers = {}
  for e = 1, ctx.E do numbers[e] = e end
  local number = tensor(numbers, {dtype = "i32"})
  return r.chosen:where(number:view(1, ctx.E):expand({ctx.N, ctx.E}), tensor.zeros({ctx.N, ctx.E}, {dtype = "i32"}))
end

local function check_result(ctx, r)
  if type(r) ~= "table" then wrong(ctx, "a %s, not a table {experts =, gates =}", type(r)) end
  if r.chosen then r.experts = numbered(ctx, r) end
  if not same(r.gates, r.experts) or #r.gates.shape ~= 2 or r.gates.shape[1] ~= ctx.N then
    wrong(ctx, "gates %s and %s %s; both are (%d, M)", shape_text(r.gates), r.chosen and "chosen" or "experts",
      shape_text(r.experts), ctx.N)
  end
  if r.scores and (#r.scores.shape ~= 2 or r.scores.shape[1] ~= ctx.N or r.scores.shape[2] ~= ctx.E) then
    wrong(ctx, "scores %s, not (%d, %d)", shape_text(r.scores), ctx.N, ctx.E)
  end
  if r.gate_on and r.gate_on ~= "input" and r.gate_on ~= "output" then
    wrong(ctx, "gate_on = '%s'; there are output and input", tostring(r.gate_on))
  end
  if r.gate_on == "input" and r.gates.shape[2] ~= 1 then
    wrong(ctx, "gate_on = 'input' for %d experts a token; it takes one", r.gates.shape[2])
  end
end

local function route(ctx)
  local r = ctx.router.route(ctx)
  check_result(ctx, r)
  r.logits, r.M = ctx.raw, r.gates.shape[2]
  r.count = r.slots or ctx.N * r.M
  if (r.chosen and not r.slots) or r.fewer then r.count = (r.experts:cast("f32") - 0.5):relu():sign():sum() end
  ctx.routing = r
  return r
end

-- ---- what is seen and what is learnt of it ----

-- What tells a router that is well from one that is not; none of it is in the loss.
local function observe_health(r)
  local load, p = r.load, r.scores
  nn.observe("load", load * load.size)
  nn.observe("entropy", (load * (load + 1e-20):log()):sum() * -1)
  if p then
    nn.observe("gate", r.importance)
    nn.observe("gate_entropy", (p * (p + 1e-20):log()):sum() * (-1 / p.shape[1]))
  end
  nn.observe("confidence", r.gates:max(-1):mean())
end

-- Of all assignments, and of each expert's own; slots: an expert's, as a share of all assignments.
local function observe_drops(load, pos, slots)
  nn.observe("drop", pos:moe_drops())
  nn.observe("dropped", (load - slots):relu() / load:maximum(slots))
end

local function fitting_rules(router)
  local list = {}
  for _, rule in ipairs(routing.all_rules()) do
    if routing.fits(rule, router) then list[#list + 1] = rule end
  end
  return list
end

local function balance(ctx, r)
  local rules = fitting_rules(ctx.router)
  for _, rule in ipairs(rules) do
    if rule.needs == "scores" and not r.scores then wrong(ctx, "no scores, which the balance rule %s needs", rule.name) end
    if rule.loss then rule.loss(ctx, r) end
  end
  for _, rule in ipairs(rules) do
    if rule.update and (rule.needs ~= "bias" or ctx.bias_state) then rule.update(ctx, ctx:load "step") end
  end
  if r.update then r.update(ctx:load "step") end
end

-- ---- the layer ----

local function rows()
  local list = {
    {"experts", "integer", nil, 1}, {"top_k", "integer", nil, 1}, {"expert_dim", "integer", nil, 1},
    {"router", "any", "softmax"}, {"capacity", "number", nil, 0.01, 1e6}, {"shared_experts", "integer", 0, 0},
    {"normalize", "boolean"}, {"scale", "number", nil, 0, 1e3},
  }
  return table.move(routing.every_balance_row(), 1, 999, #list + 1, list)
end

-- The options of nn.moe with the router, its own, and the coefficients of balance rules; in
-- o all that a router's function is given.
local function read(given)
  local o = options.read("moe", given, rows())
  for _, name in ipairs {"experts", "top_k", "expert_dim"} do
    if not o[name] then error("moe: " .. name .. "= is missing", 0) end
  end
  local router = routing.find("moe", o.router)
  routing.check_beside("moe", router, o)
  local own = routing.options("moe", router, o.router, o)
  local coefficients = {}
  for _, row in ipairs(routing.every_balance_row()) do coefficients[row[1]] = o[row[1]] end
  coefficients = routing.balance("moe", router, coefficients)
  routing.check("moe", router, o, own)
  for _, row in ipairs(routing.every_balance_row()) do
    if o[row[1]] == nil then o[row[1]] = coefficients[row[1]] or row.default end
  end
  if o.normalize == nil then o.normalize = own.normalize ~= false end
  o.scale = o.scale or own.scale or 1
  o.router = router.name
  return o, router, own, coefficients
end

local function experts_of(r, flat, o, capacity)
  local C, E, F = flat.shape[2], o.experts, o.expert_dim
  local rows, pos, offsets = r.experts:moe_dispatch({experts = E, capacity = capacity})
  if r.slots then rows = rows:narrow(1, 1, r.slots):contiguous() end
  local each = {experts = E, active = o.top_k}
  local init = 0.02 / math.sqrt(2 * nn.description().model.cfg.layers)
  local gates = r.gates
  if r.gate_on == "input" then flat, gates = flat * gates, tensor.ones(gates.shape) end
  local y = flat:moe_experts(gates, rows, pos, offsets,
    nn.param("experts.up_proj.weight", {E, F, C}, nil, each),
    nn.param("experts.down_proj.weight", {E, C, F}, init, each),
    nn.param("experts.gate_proj.weight", {E, F, C}, nil, each))
  return r.plus and y + r.plus or y, pos
end

local function context_of(d, x, flat, o, router, own, coefficients)
  local shape = x.shape
  return context {
    x = flat, E = o.experts, K = o.top_k, N = flat.shape[1], B = #shape == 3 and shape[1] or 1,
    T = #shape == 3 and shape[2] or flat.shape[1], mode = d.mode, layer = d.layer, options = own, given = o, router = router,
    coefficients = coefficients,
  }
end

--- nn.moe(x (...,C), {experts=E, top_k=K, expert_dim=F, router="softmax", aux=0.01, z=0.001,
-- capacity=, shared_experts=0}): route every token to K of E SwiGLU experts.  Dropless unless
-- capacity (a factor of N*K/E) is given.  Observes what ?run:history lists.
function nn.moe(x, given)
  local d = nn.description() or error("moe: only inside a model's function (see model.define)", 2)
  local o, router, own, coefficients = read(given)
  if d.mode == "train" then routing.check_leak("train", router, own) end
  local flat = x:view(-1, x.shape[#x.shape])
  d.mixture = {name = d.model:_add_mixture(d.layer, o.experts, o.top_k, d.path)}
  local ctx = context_of(d, x, flat, o, router, own, coefficients)
  local r = route(ctx)
  local capacity = 0
  if o.capacity and d.mode == "train" then capacity = math.ceil(o.capacity * ctx.N * o.top_k / o.experts) end
  local y, pos = experts_of(r, flat, o, capacity)
  if d.mode == "train" then
    r.load, r.importance = r.experts:moe_load({experts = o.experts}), r.scores and r.scores:mean(1)
    observe_health(r)
    if capacity > 0 then observe_drops(r.load, pos, capacity / (ctx.N * o.top_k)) end
    balance(ctx, r)
  end
  if o.shared_experts > 0 then y = y + nn.scope("shared_experts", nn.ffn, flat, o.expert_dim * o.shared_experts) end
  d.mixture = nil
  return y:view(table.unpack(x.shape))
end

--- nn.normalize_gates(gates (N,K)) -> gates that sum to 1 over a token's experts.  One gate alone
-- stays as it is: divided by itself it would be 1 whatever the logits are, and the router would
-- learn nothing of the loss.  least: added to the sum, where it may be 0.
function nn.normalize_gates(gates, least)
  if gates.shape[#gates.shape] == 1 then return gates end
  local sum = gates:sum(-1, true)
  return gates / (least and sum + least or sum)
end

-- ---- routers and rules by name ----

-- A router called as a function, as before there were objects: (logits (N,E), K, options) -> gates, experts,
-- scores, update.
function routing.Router.__call(router, logits, K, given)
  given = given or {}
  local own = {}
  for _, row in ipairs(router.rows or {}) do
    own[row[1]] = given[row[1]]
    if own[row[1]] == nil then own[row[1]] = row[3] end
  end
  local ctx = context {
    x = logits, E = logits.shape[2], K = K, N = logits.shape[1], B = 1, T = logits.shape[1], mode = nn.mode(),
    layer = nil, options = own, given = given, router = router, coefficients = given, raw = logits,
  }
  local r = router.route(ctx)
  local update = ctx.bias_state and function(load)
    for _, rule in ipairs(fitting_rules(router)) do
      if rule.update then rule.update(ctx, load) end
    end
  end or r.update
  return r.gates, r.experts, r.scores, update
end

nn.routers, nn.balances = routing.routers, routing.rules

--- nn.router(name, {rule=, doc=, source=, rows=, causal=, gives=, balance=, route=function(ctx)}): a router of one's
-- own, in the form of the files of lua/routers/
function nn.router(name, spec)
  if type(name) ~= "string" or type(spec) ~= "table" then error("nn.router: takes a name and a table with route = function(ctx)", 2) end
  options.call(function() nn.routers[name] = spec end)
end

--- nn.balance(name, {doc=, source=, needs=, rows=, loss=function(ctx, routing), update=function(ctx, load)}): a balance
-- rule of one's own, in the form of the files of lua/balance/
function nn.balance(name, spec)
  if type(name) ~= "string" or type(spec) ~= "table" then error("nn.balance: takes a name and a table with loss or update", 2) end
  options.call(function() nn.balances[name] = spec end)
end

routing.load()
return nn
