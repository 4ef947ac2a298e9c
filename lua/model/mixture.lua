-- nn.moe: a mixture of experts; a router (lua/routers/) says which a token uses, balance
-- rules (lua/balance/) keep their loads even.  B batch, T tokens of a sequence, N = B*T, C width,
-- E experts, K experts a token, F expert width.
--
-- A router's route(ctx) is given what lua/model/routing_context.lua lists, and nn.param, nn.state,
-- nn.update, nn.step_sum, nn.loss, nn.observe, tensor.rand and its like.  It returns a table:
--   experts (N,M) i32 from 1, no two of a token the same, with gates (N,M): any M.  fewer = true:
--       there may be zeros, which are none
--   or chosen (N,E) bool with gates (N,E): any number a token, or the tokens that each expert took;
--       slots = n: at most n are chosen in all; memory is for so many, and N*E without it.  The
--       products are of what is chosen, never of N*E
--   scores (N,E), rows sum to 1: for balance rules and the series gate.L
--   gate_on = "input": the gate multiplies what the expert is given, not what it makes (M = 1)
--   plus (N,C): added to the output          update(load (E)): after a step, its loads
--   loss(): a loss of its own, among the balance rules', where ctx:whole is known
--   counted (N,M) i32: what balance losses take for the assignments, where it is not experts
--   chance (N,E): the probability that another draw of its noise would choose an expert
--   gives: what it gives in this layer, where that is less than the router's
-- What of it finds no place, capacity.lua says.
--
--  1. Inputs, losses and series come in the order that they had: the hashes that guard stored runs
--     are of the operations in their order.
--  2. A disabled expert gets no token: its logits are -inf, and what a router chose without looking
--     at these is taken out (without_disabled).  A stored model of before, whose router sigmoid
--     did not look, is as it was (ctx:_as_before).
--  3. Padding (nn.padding) chooses nothing: it has no place, and is in no load and no mean.

local capacity = require "switchyard.model.capacity"
local forms = require "switchyard.model.feed_forward"
local live = require "switchyard.model.live"
local nn = require "switchyard.model.nn"
local options = require "switchyard.core.options"
local context = require "switchyard.model.routing_context"
local router_health = require "switchyard.model.router_health"
local routing = require "switchyard.model.routing"

local mixture = {}

-- ---- what a router returns ----

local RESULT = {
  experts = true, chosen = true, gates = true, scores = true, slots = true, fewer = true,
  gate_on = true, plus = true, update = true, counted = true, chance = true, gives = true,
  loss = true,
}

local function called(kind, of) return ("moe: %s '%s'"):format(kind, of.name) end

-- The run goes by it from now on.
local function meet(kind, of)
  nn.description().model:_add_definition(("%s '%s'"):format(kind, of.name), of.definition)
end

local function wrong(ctx, ...)
  error(("%s returned %s"):format(called("router", ctx._router), string.format(...)), 0)
end

local function shape_text(t)
  if type(t) ~= "userdata" then return type(t) end
  return ("%s (%s)"):format(t.dtype, table.concat(t.shape, ", "))
end

-- Whether t is a tensor of a dtype and shape; columns: nil of any number.
local function is_matrix(t, dtype, rows, columns)
  return type(t) == "userdata" and t.dtype == dtype and #t.shape == 2 and t.shape[1] == rows
    and (not columns or t.shape[2] == columns)
end

local function want(ctx, name, t, dtype, columns, said)
  if is_matrix(t, dtype, ctx.N, columns) then return end
  wrong(ctx, "%s: %s; it must be %s (%d, %s)", name, shape_text(t), dtype, ctx.N, said or columns)
end

local function check_names(ctx, r)
  if type(r) ~= "table" then wrong(ctx, "a %s, not a table {experts =, gates =}", type(r)) end
  for name in pairs(r) do
    if not RESULT[name] then wrong(ctx, "%s, which nothing reads", tostring(name)) end
  end
  if r.chosen and r.experts then wrong(ctx, "both experts and chosen; it must be one of them") end
  if r.slots and not r.chosen then wrong(ctx, "slots, which go with chosen") end
end

local function check_shapes(ctx, r)
  if r.chosen then want(ctx, "chosen", r.chosen, "bool", ctx.E)
  else want(ctx, "experts", r.experts, "i32", nil, "M") end
  want(ctx, "gates", r.gates, "f32", (r.chosen or r.experts).shape[2])
  if r.scores then want(ctx, "scores", r.scores, "f32", ctx.E) end
  if r.chance then want(ctx, "chance", r.chance, "f32", ctx.E) end
  if r.counted then want(ctx, "counted", r.counted, "i32", nil, "M") end
  if r.plus then want(ctx, "plus", r.plus, ctx.x.dtype, ctx.x.shape[2]) end
  local slots = r.slots
  if slots and not (math.type(slots) == "integer" and slots >= 1 and slots <= ctx.N * ctx.E) then
    wrong(ctx, "slots = %s; it must be a whole number from 1 to %d", tostring(slots), ctx.N * ctx.E)
  end
end

local function check_gate(ctx, r)
  if r.gate_on == nil or r.gate_on == "output" then return end
  if r.gate_on ~= "input" then
    wrong(ctx, "gate_on = '%s'; there are output and input", tostring(r.gate_on))
  end
  if r.gates.shape[2] ~= 1 then
    wrong(ctx, "gate_on = 'input' for %d experts a token; it takes one", r.gates.shape[2])
  end
end

-- What it gives is what balance rules go by.
local function check_given(ctx, r)
  local router = ctx._router
  local says = {gives = r.gives or router.gives}
  for _, name in ipairs {"scores", "chance"} do
    if routing.gives(says, name) and not r[name] then
      wrong(ctx, "no %s, which it says that it gives (gives = \"%s\")", name, says.gives)
    end
  end
  local asked = {logits = ctx._raw, bias = ctx._bias or router.any}
  for _, name in ipairs {"logits", "bias"} do
    if routing.gives(says, name) and not asked[name] then
      error(("%s did not ask for ctx:%s(), and says that it gives %s (gives = \"%s\")")
        :format(called("router", router), name, name, says.gives), 0)
    end
  end
end

-- What a user's router gives is looked at at every step; the program's own are tried by tests.
-- Functions of before there were objects are as they were: hashes guard their stored runs.
local function check_choices(ctx, r)
  local router = ctx._router
  if not router.definition or router.any or not r.experts then return end
  r.experts = r.experts:moe_check({experts = ctx.E, fewer = r.fewer or false,
                                   layer = ctx.layer or 0})
end

-- ---- assignments ----

local function none(shape) return tensor.zeros(shape, {dtype = "i32"}) end

-- chosen (N,E) as experts (N,E): their numbers, 0 for none.
local function numbered(ctx, chosen)
  return chosen:where(ctx:numbers(), none {ctx.N, ctx.E})
end

-- Without disabled experts, where the router did not choose by logits that are -inf there.
local function without_disabled(ctx, r)
  if ctx._masked and r.experts and not r.fewer then return end
  local experts = r.experts or numbered(ctx, r.chosen)
  local off = ctx:mask():pad(1, 1, 0):view(ctx.E + 1, 1):embedding(experts) -- 0: of none
  local on = off:view(table.unpack(experts.shape)):eq(0)
  r.experts, r.fewer = on:where(experts, none(experts.shape)), true
end

local function without_padding(ctx, r)
  local padding = ctx:padding()
  if not padding then return end
  local experts, of_token = r.experts or numbered(ctx, r.chosen), padding:view(ctx.N, 1)
  r.experts, r.fewer = of_token:where(none(experts.shape), experts), true
  if r.counted then r.counted = of_token:where(none(r.counted.shape), r.counted) end
  for _, name in ipairs {"plus", "chance"} do
    r[name] = r[name] and of_token:where(tensor.zeros(r[name].shape), r[name])
  end
end

local function route(ctx)
  local router = ctx._router
  local returned, r = routing.run(called("router", router), router.route, ctx), {}
  check_names(ctx, returned)
  for name, v in pairs(returned) do r[name] = v end
  check_shapes(ctx, r)
  check_gate(ctx, r)
  check_given(ctx, r)
  check_choices(ctx, r)
  r.varies = router.varies and (r.fewer or r.chosen)
  without_disabled(ctx, r)
  without_padding(ctx, r)
  r.logits, r.count, r.taken_gates = ctx._raw, ctx.N * r.gates.shape[2], r.gates
  if r.fewer then
    local taken = r.experts:gt(0)
    r.count = taken:cast("f32"):sum()
    r.taken_gates = taken:where(r.gates, tensor.zeros(r.gates.shape))
  end
  ctx._routing = r
  return r
end

-- ---- what is seen and what is learnt of it ----

-- The sum of the gates that each expert got, before any drop, of a fair share of all.
local function importance(ctx, r)
  local none_of = tensor.full(1, ctx.E + 1, {dtype = "i32"})
  local experts = r.fewer and r.experts:gt(0):where(r.experts, none_of) or r.experts
  local sums = experts:view(-1):scatter_add(r.taken_gates:view(-1), {dim = 1, n = ctx.E + 1})
    :narrow(1, 1, ctx.E)
  return (sums * ctx.E / sums:sum(-1, true):maximum(tensor.full(1, 1e-20))):contiguous()
end

-- What tells a router that is well from one that is not; none of it is in the loss.
local function observe_health(ctx, r)
  local load, p = r.load, r.scores
  nn.observe("load", load * load.size)
  nn.observe("entropy", (load * (load + 1e-20):log()):sum() * -1)
  if p then
    nn.observe("gate", r.importance)
    local sums = p * (p + 1e-20):log()
    nn.observe("gate_entropy", ctx:padding() and ctx:mean(sums:sum(-1)) * -1
      or sums:sum() * (-1 / p.shape[1]))
  end
  nn._observe_aside("importance", importance(ctx, r))
  nn.observe("confidence", ctx:mean(r.taken_gates:max(-1)))
  if r.varies then
    nn.observe("experts_per_token", ctx:mean(r.experts:gt(0):cast("f32"):sum(-1)))
  end
end

local SOURCE_LOADS = 16384 -- values of a row of the store, 64 kB; f32 counts to 2^24

-- Of data of several sources: which experts the tokens of each got, of a fair share of its own;
-- (S*E), all experts of the first source, and so on.  A source without tokens has 0.
local function observe_sources(ctx, r)
  local d = nn.description()
  local S = d.data and #d.data.sources or 0
  if S < 2 or not nn._learns(d) then return end
  if S * ctx.E > SOURCE_LOADS then
    return nn.remark(("source_load is not kept: %d sources x %d experts are over %d values")
      :format(S, ctx.E, SOURCE_LOADS))
  end
  local E, source = ctx.E, d.batch[d.side == "input" and "input_sources" or "sources"]:view(-1, 1)
  local chosen = r.experts:cast "f32" -- 1 to E; 0, and what is beyond: none of them
  local none = tensor.full(1, S * E)
  local key = chosen:le(E):where(source:cast "f32" * E + chosen - 1, none)
  key = chosen:gt(0):where(key, none)
  local count = key:cast "i32":bincount(S * E + 1):narrow(1, 1, S * E):view(S, E)
  local function shares(n) -- 0 of a source without tokens
    return (n * E / n:sum(2, true):maximum(tensor.ones(1))):view(S * E)
  end
  -- A step's value is the mean of its micro-batches', of which one may have no token of a source:
  -- each gives what it changes of the shares of all so far, so that the mean is the step's share.
  local n, all = nn.micro_batches(), nn.step_sum("source_load", count)
  nn.observe("source_load", n == 1 and shares(all) or (shares(all) - shares(all - count)) * n)
end

-- Of all assignments, and of each expert's own.
local function observe_dispatched(r, pos, places)
  local slots
  if type(r.count) == "number" then
    slots = places / r.count
    nn.observe("drop", pos:moe_drops())
  else
    local count = r.count:maximum(tensor.ones(1))
    slots = tensor.full(1, places) / count
    nn.observe("drop", ((r.count - pos:ge(0):cast("f32"):sum()) / count):sum())
  end
  nn.observe("dropped", (r.load - slots):relu() / r.load:maximum(slots))
end

-- The same of choices that capacity.admit let pass or not.
local function observe_admitted(ctx, r)
  local count = type(r.count) == "number" and tensor(r.count) or r.count:maximum(tensor(1))
  local lost = r.placed:gt(0):where(none(r.experts.shape), r.experts)
  local n = lost:gt(0):cast("f32"):sum()
  nn.observe("drop", n / count)
  nn.observe("dropped", lost:moe_load({experts = ctx.E}) * n / (r.load * count):maximum(1))
  if r.moved then nn.observe("rerouted", r.moved:cast("f32"):sum() / count) end
end

local function observe_drops(ctx, r, pos)
  if not r.places then return end
  if r.places.plain then return observe_dispatched(r, pos, r.places.slots) end
  observe_admitted(ctx, r)
end

local function run_rule(rule, name, ...)
  if not rule[name] then return end
  routing.run(called("balance rule", rule), rule[name], ...)
  local d = nn.description() -- unmet: of what the model was given, what nothing has read yet
  if d.mode ~= "build" then return end
  for i, row in ipairs(d.unmet and rule.rows or {}) do -- it runs by the first; some it reads later
    local name = row[1]
    if i > 1 then d.model._unread[name] = d.unmet[name] or d.model._unread[name] end
    d.unmet[name] = nil
  end
end

-- What losses see: r, or r with the assignments that the router counts; own: r itself.
local function counted(ctx, r)
  if not r.counted then return r end
  local load = r.counted:moe_load({experts = ctx.E})
  local count = ctx:padding() and r.counted:gt(0):cast("f32"):sum() or ctx.N * r.counted.shape[2]
  return setmetatable({experts = r.counted, load = load, count = count, sum = "counted", own = r},
    {__index = r})
end

-- All losses before all updates.
local function balance(ctx, r)
  local rules = {}
  for _, rule in ipairs(routing.all_rules()) do
    if routing.in_force(rule, r.gives and r or ctx._router, ctx._coefficients) then
      rules[#rules + 1] = rule
      meet("balance rule", rule)
    end
  end
  ctx._routing = counted(ctx, r)
  for _, rule in ipairs(rules) do run_rule(rule, "loss", ctx, ctx._routing) end
  if r.loss then routing.run(called("router", ctx._router), r.loss) end
  ctx._routing = r
  for _, rule in ipairs(rules) do
    if rule.update and (rule.needs ~= "bias" or ctx._bias) then
      run_rule(rule, "update", ctx, ctx:_step_load())
    end
  end
  if r.update then routing.run(called("router", ctx._router), r.update, ctx:_step_load()) end
end

-- ---- the layer ----

local LAYER = {
  {"experts", "integer", nil, 1}, {"top_k", "integer", nil, 1}, {"expert_dim", "integer", nil, 1},
  {"router", "any", "softmax"}, live.row "capacity",
  {"shared_experts", "integer", 0, 0}, {"normalize", "boolean"}, {"scale", "number", nil, 0, 1e3},
}

-- A number that goes by the steps is a table, which routing.balance reads.
local function rows(given)
  local list = table.move(LAYER, 1, #LAYER, 1, {})
  table.move(forms.expert_rows, 1, #forms.expert_rows, #list + 1, list)
  for _, row in ipairs(routing.every_balance_row()) do
    local goes = type(given) == "table" and type(given[row[1]]) == "table"
    list[#list + 1] = {row[1], goes and "any" or row[2], nil, row[4], row[5]}
  end
  return list
end

local function coefficients_of(router, o, stored, own)
  local given = {}
  for _, row in ipairs(routing.every_balance_row()) do given[row[1]] = o[row[1]] end
  local coefficients = routing.balance("moe", router, given, stored, own)
  for name, v in pairs(router.of_mean or {}) do
    if coefficients[name] == nil then
      coefficients[name] = v
      nn.description().model:_take_mean(name, v)
    end
  end
  for _, row in ipairs(routing.every_balance_row()) do
    if o[row[1]] == nil then o[row[1]] = coefficients[row[1]] or row[3] end
  end
  return coefficients
end

-- The options of nn.moe with the router, its own, and the coefficients of balance rules; in
-- o all that a router's function is given.  stored: of a model made before, when what has no effect
-- was not refused.
local function read(given, stored)
  local known = rows(given)
  local o = options.read("moe", routing.preferred("moe", known, given), known)
  local router = routing.find("moe", o.router)
  for _, name in ipairs {"experts", "top_k", "expert_dim"} do
    if not o[name] then error("moe: " .. name .. "= is missing", 0) end
  end
  forms.check("moe", o)
  routing.check_beside("moe", router, o, stored)
  local own = routing.options("moe", router, o.router, o)
  local coefficients = coefficients_of(router, o, stored, own)
  routing.check("moe", router, o, own)
  if o.normalize == nil then o.normalize = rawget(own, "normalize") ~= false end
  o.scale = o.scale or rawget(own, "scale") or 1
  o.router = router.name
  return o, router, own, coefficients
end

local function check_padding(d, N)
  if not d.padding or d.padding.size == N then return end
  error(("moe: the layer has %d tokens, and nn.padding was told of %d")
    :format(N, d.padding.size), 0)
end

local function context_of(d, x, o, router, own, coefficients)
  local shape = x.shape
  local flat = x:view(-1, shape[#shape])
  local B = #shape == 3 and shape[1] or 1
  return context {
    x = flat, E = o.experts, K = o.top_k, N = flat.shape[1], B = B, T = flat.shape[1] // B,
    mode = d.mode, layer = d.layer, options = own, _given = o, _router = router,
    _coefficients = coefficients, _path = table.concat(d.path, "."),
  }
end

-- Which choices have a place: r.placed (N,M), with r.placed_gates.
local function place(ctx, r)
  capacity.check_form(ctx._given.capacity, ctx, r)
  local now = not nn.description().as_written and capacity.now(ctx._given.capacity, ctx) or nil
  r.places, r.placed, r.placed_gates = now, r.experts, r.gates
  if not now or now.plain then return end
  r.placed, r.placed_gates, r.moved = capacity.admit(now, ctx, r)
end

local function experts_of(ctx, r)
  local x, E, places = ctx.x, ctx.E, r.places
  local rows, pos, offsets = r.placed:moe_dispatch(
    {experts = E, capacity = places and places.plain and places.slots or 0})
  if r.slots then rows = rows:narrow(1, 1, r.slots):contiguous() end
  local gates = r.placed_gates
  if r.gate_on == "input" then x, gates = x * gates, tensor.ones(gates.shape) end
  local sizes = {E = E, K = ctx.K, C = x.shape[2], F = ctx._given.expert_dim}
  r.through = function(by) return forms.experts(x, by, rows, pos, offsets, sizes, ctx._given) end
  r.weights, r.pos = gates, pos
  local y = r.through(gates)
  return r.plus and y + r.plus or y, pos
end

-- When the model is made as well: states of balance rules are to be the model's from then on.
local function learn(ctx, r, pos)
  r.load = r.experts:moe_load({experts = ctx.E})
  r.importance = r.scores and ctx:mean(r.scores)
  observe_health(ctx, r)
  if ctx.mode == "train" then observe_sources(ctx, r) end
  observe_drops(ctx, r, pos)
  balance(ctx, r)
end

-- Rules of tokens (token_rules.lua) hold, or nothing is traced.
local function check_ruled(d, ctx)
  if ctx._ruled or not (d.model._rules and d.model._rules[ctx._path]) then return end
  error(("router '%s' does not choose K experts for a token (ctx:choose, ctx:take): none can be "
    .. "forced on it or kept from it"):format(ctx._router.name), 0)
end

--- nn.moe(x (...,C), {experts=E, top_k=K, expert_dim=F, router="softmax", aux=0.01, z=0.001,
-- capacity=, shared_experts=0, activation="silu", gated=true, expert_bias=, expert_dropout=}):
-- route every token to K of E experts.  Dropless unless
-- capacity (a factor of N*K/E) is given.  Observes what ?run:history lists.
function mixture.moe(x, given)
  local d = nn.description() or error("moe: only inside a model's function (see model.define)", 2)
  local o, router, own, coefficients = read(given, d.model._stored)
  meet("router", router)
  local causal = d.stack ~= "encoder"
  routing.check_leak(d.mode, router, own, causal)
  capacity.check_leak(o.capacity, d.mode, causal, o.top_k)
  local ctx = context_of(d, x, o, router, own, coefficients)
  check_padding(d, ctx.N)
  local reach = router.reach and function(on) return router.reach(on, own) end
  local name, known = d.model:_add_mixture(d.layer, o.experts, o.top_k, d.path, reach)
  d.mixture = {name = name, frozen = router.frozen or rawget(own, "frozen") == true}
  local before = d.kind == "health" and router_health.before(d)
  local r = route(ctx)
  check_ruled(d, ctx)
  if before then
    router_health.see(ctx, r, function()
      local low = context_of(d, x, o, router, own, coefficients)
      low._low = true
      return route(low)
    end, before)
  end
  if known and d.mode ~= "eval" and d.mode ~= "decode" then
    known.router, known.options, known.choice = router, own, ctx:_choice()
  end
  place(ctx, r)
  local y, pos = experts_of(ctx, r)
  if d.probe then d.probe(ctx, r) end
  if d.mode == "train" or d.mode == "build" then learn(ctx, r, pos) end
  if o.shared_experts > 0 then
    y = y + nn.scope("shared_experts", nn.ffn, ctx.x, o.expert_dim * o.shared_experts,
      {activation = o.activation, gated = o.gated, bias = o.expert_bias,
       dropout = o.expert_dropout})
  end
  d.mixture = nil
  return y:view(table.unpack(x.shape))
end

--- nn.normalize_gates(gates (N,K)) -> gates that sum to 1 over a token's experts.  One gate alone
-- stays as it is: divided by itself it would be 1 whatever the logits are, and the router would
-- learn nothing of the loss.  least: added to the sum, where it may be 0.
function mixture.normalize_gates(gates, least)
  if gates.shape[#gates.shape] == 1 then return gates end
  local sum = gates:sum(-1, true)
  return gates / (least and sum + least or sum)
end

-- ---- routers and rules by name ----

local function update_of(ctx, r)
  return ctx._bias and function(load)
    for _, rule in ipairs(routing.all_rules()) do
      if rule.needs == "bias" then run_rule(rule, "update", ctx, load) end
    end
  end or r.update
end

--- A router called as a function, as before there were objects:
-- (logits (N,E), K, options) -> gates, experts, scores, update.
function mixture.call(router, logits, K, given)
  given = given or {}
  local own = {}
  for _, row in ipairs(router.rows) do
    own[row[1]] = given[row[1]]
    if own[row[1]] == nil then own[row[1]] = row[3] end
  end
  local N, E = logits.shape[1], logits.shape[2]
  local ctx = context {
    E = E, K = K, N = N, B = 1, T = N, mode = nn.mode(), options = own, _given = given,
    _router = router, _coefficients = given, _given_logits = logits,
  }
  local r = routing.run(called("router", router), router.route, ctx)
  return r.gates, r.experts, r.scores, update_of(ctx, r)
end

return mixture
