-- Routers with an operation of their own: expert_choice, base, sinkhorn, zero_experts, beside plain
-- references; golden values of their papers' code.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, moe, says = own.t, own.data, own.moe, own.says
local ok, is, with, C, E, V, values = t.ok, t.is, t.with, own.C, own.E, own.V, t.values
local engine = require "switchyard.engine"
local QUIET = {coefficients = {z = 0}}

-- ---- the best even assignment, beside all that there are ----

local function sum_of(s, experts)
  local sum = 0
  for i, e in ipairs(experts) do if e > 0 then sum = sum + s[i][e] end end
  return sum
end

-- The largest sum over all assignments with at most `share` tokens an expert.
local function best_sum(s, share, i, load)
  i, load = i or 1, load or {}
  if i > #s then return 0 end
  local best = -math.huge
  for e = 1, #s[1] do
    if (load[e] or 0) < share then
      load[e] = (load[e] or 0) + 1
      best = math.max(best, s[i][e] + best_sum(s, share, i + 1, load))
      load[e] = load[e] - 1
    end
  end
  return best
end

local worst, uneven = 0, 0
for seed = 1, 40 do
  local n, e = 2 + seed % 6, 2 + seed % 3
  local x = tensor.randn(n, e, {seed = seed}) + tensor.randn(1, e, {seed = 100 + seed})
  if seed % 4 == 0 then x = (x * 2):round() end -- ties
  local experts, s = x:moe_assign(), x:table()
  worst = math.max(worst, math.abs(best_sum(s, -(-n // e)) - sum_of(s, experts:view(-1):table())))
  local most = experts:moe_load({experts = e}):max():item() * n
  if most > -(-n // e) + 1e-3 then uneven = uneven + 1 end
end
ok(worst < 1e-5, "moe_assign: the largest sum", worst)
is(uneven, 0, "and no expert has more than its share")
do
  local x = tensor.randn(512, 8, {seed = 3}) * 0.2 + tensor.randn(1, 8, {seed = 4})
  local load = x:moe_assign():moe_load({experts = 8})
  is(load:max():item(), 0.125, "512 tokens to 8 experts: 64 each")
  is(load:min():item(), 0.125, "none has fewer")
  is(x:moe_assign():hash(), (x * 4):moe_assign():hash(), "whatever the scale")
  load = x:moe_assign({groups = 4}):moe_load({experts = 8, groups = 4})
  is(load:max():item(), 0.125, "groups are apart")
  local inf = math.huge
  local few = tensor {{1, -inf, 2}, {-inf, -inf, -inf}, {3, -inf, 4}, {0, -inf, 9}, {5, -inf, 5}}
  is(table.concat(few:moe_assign():view(-1):table(), " "), "1 0 3 3 1",
    "an expert of -inf has none; a token of -inf is none")
  is(table.concat(tensor {{1, 1}, {1, 1}, {1, 1}, {1, 1}}:moe_assign():view(-1):table(), " "),
    "1 1 2 2", "of equal sums that of lower experts for earlier tokens")
end
t.raises(function() tensor.ones(5, 2):moe_assign {groups = 2} end,
  "moe_assign: 2 groups do not divide the tokens")

-- ---- Sinkhorn's plan ----

do
  local plan = tensor {{2, 0}, {2, 0}, {1, 0}, {0, 0}}:exp():moe_sinkhorn()
  local want = tensor {{.16859, .08141}, {.16859, .08141}, {.1081, .1419}, {.05473, .19528}}
  ok(t.furthest(plan, want) < 1e-5, "moe_sinkhorn: golden values", plan)
  local c = tensor.randn(96, 8, {seed = 2}):exp()
  plan = c:moe_sinkhorn {tolerance = 1e-9}
  ok(t.furthest(plan:sum(-1), tensor.full(96, 1 / 96)) < 1e-7, "rows weigh 1/N")
  ok(t.furthest(plan:sum(1), tensor.full(8, 1 / 8)) < 1e-6, "columns 1/E")
  local padded = c:narrow(1, 1, 90):contiguous()
  local with_zeros = padded:pad(1, 0, 6):moe_sinkhorn()
  is(with_zeros:narrow(1, 1, 90):contiguous():hash(), padded:moe_sinkhorn():hash(),
    "rows of zeros are no tokens")
  local halves = c:moe_sinkhorn {groups = 2}
  is(halves:narrow(1, 49, 48):contiguous():hash(),
    c:narrow(1, 49, 48):contiguous():moe_sinkhorn():hash(), "groups are apart")
end
t.raises(function() tensor.ones(4, 2):moe_sinkhorn {tolerance = 0} end,
  "moe_sinkhorn: tolerance is 0, must be above 0")

-- ---- expert choice ----

own.same("expert_choice", {"expert_choice", allow_leak = true}, {dense = function(p)
  local s, taken = p:softmax(-1), nil
  local B = math.max(1, s.shape[1] // 16)
  local T = s.shape[1] // B
  for b = 1, B do
    local part = s:narrow(1, (b - 1) * T + 1, T)
    local least = part:permute({2, 1}):contiguous():topk(math.ceil(T / 2), -1):min(2):view(1, E)
    local g = own.only(part:ge(least), part)
    taken = taken and taken:cat(g, 1) or g
  end
  return taken
end}, QUIET)

do
  for _, scope in ipairs {"sequence", "micro"} do
    local router = {"expert_choice", allow_leak = true, scope = scope, factor = 0.25}
    local r = train(moe {router = router}, d, own.TRAIN):wait()
    is(values(r, "load.2"):max():item(), 1, scope .. ": loads are even")
    local none = values(r, "no_expert.2"):max():item()
    ok(none >= 0.5 and none < 1, scope .. ": some tokens have no expert", none)
    r:close()
  end
  local m, ids = moe {router = "expert_choice"}, {}
  for i = 1, 16 do ids[i] = i * 5 % V end
  local before = m:logits(ids):narrow(1, 1, 15)
  ids[16] = (ids[16] + 11) % V
  ok(t.furthest(m:logits(ids):narrow(1, 1, 15), before) > 0,
    "expert_choice: a later token changes what earlier ones get")
  t.refuses(function() train(m, d, own.TRAIN) end, "so it is refused",
    "train: router 'expert_choice' cannot train for the next token: an expert's tokens are its "
    .. "best of a whole sequence")
  t.refuses(function() moe {router = "expert_choice", balance = {aux = 0.1}} end, "aux",
    "aux has no effect with router 'expert_choice'")
  t.refuses(function() moe {router = {"expert_choice", scope = "all"}} end, "scope",
    "unknown scope 'all'; there are: sequence, micro")
end

-- ---- base ----

own.same("base", "base", {scored = false, dense = function(_, _, x)
  local l = x:linear(nn.param("gate.weight", {E, C}))
  local experts = nn.mode() == "train" and l:moe_assign() or select(2, l:topk(1, -1))
  return (experts - 1):view(-1):one_hot {n = E} * l:sigmoid()
end}, {K = 1})
do
  local m = moe {router = "base", top_k = 1}
  local w = m.params["model.layers.0.mlp.gate.weight"]
  ok(t.furthest(w:linear(w), tensor.eye(E) * 0.01) < 1e-6, "base: orthogonal, gain 0.1")
  local r = train(m, d, with(own.TRAIN, {eval_every = 2, steps = 6})):wait()
  is(values(r, "load.1"):max():item(), 1, "base: loads are even in training")
  local agreement = values(r, "agreement.1")
  ok(agreement:max():item() <= 1 and agreement:min():item() > 0.2, "and how many are as by argmax")
  local by_argmax = m:loss(d, {batches = 3})
  local run = r:eval(3)
  r.balanced_eval = 1
  ok(r:eval(3) ~= run, "evaluated under the other rule")
  ok(m:loss(d, {batches = 3}) ~= by_argmax, "by m:loss as well")
  local text = m:generate({1, 2, 3}, {tokens = 4, temperature = 0})
  r.balanced_eval = 0
  is(r:eval(3), run, "and again under the first")
  is(m:loss(d, {batches = 3}), by_argmax, "the same loss")
  is(tostring(m:generate({1, 2, 3}, {tokens = 4, temperature = 0})), tostring(text),
    "a text is written by the largest logits")
  r:close()
  t.refuses(function() moe {router = "base"} end, "K",
    "router 'base': top_k is 2, it sends each token to one expert: top_k = 1")
  t.refuses(function() moe {router = "base", top_k = 1, capacity = 1} end, "capacity",
    "capacity has no effect with router 'base': each expert takes its share of the tokens")
  t.refuses(function() moe {router = "base", top_k = 1, balance = {z = 1}} end, "z",
    "z has no effect with router 'base'")
end

-- ---- sinkhorn ----

for K = 1, 2 do
  own.same("sinkhorn, K = " .. K, "sinkhorn", {dense = function(p)
    local function taken(x) return x:ge(x:topk(K, -1):min(2, true)) end
    local s = K == 1 and p:sigmoid() or p:softmax(-1)
    return own.only(taken(nn.mode() == "train" and p:exp():moe_sinkhorn() or p), s)
  end}, {K = K, coefficients = {z = 0}})
end
do
  local r = train(moe {router = "sinkhorn"}, d, own.TRAIN):wait()
  ok(values(r, "load.1"):max():item() <= 2, "sinkhorn: nearly even loads")
  ok(values(r, "agreement.1"):min():item() > 0.3, "and how many are as by the logits")
  r:close()
end

-- A disabled expert has none, by either.
for _, router in ipairs {"base", "sinkhorn", "expert_choice", "zero_experts"} do
  local m = moe {router = router == "expert_choice" and {router, allow_leak = true} or router,
                 top_k = router == "base" and 1 or 2}
  local r = train(m, d, with(own.TRAIN, {paused = true}))
  r.layers[1].experts[2]:disable()
  r:resume():wait()
  is(values(r, "load.1"):narrow(2, 2, 1):max():item(), 0, router .. ": a disabled expert has none")
  ok(r.loss == r.loss and r.state == "done", router .. ": and the rest is well", r.loss)
  r:close()
end

-- ---- experts that cost nothing ----

local function zero_dense(o)
  return function(p, _, x)
    local s = p:softmax(-1)
    local n = s.shape[2]
    local _, choices = s:topk(2, -1)
    if nn.mode() == "train" then
      local f, tau = choices:moe_load {experts = n}, {}
      for i = 1, n do tau[i] = i > E and 0.75 or 1 end
      nn.loss("all", (tensor(tau) * f * s:mean(1)):sum() * n, 0.05)
    end
    local taken = own.only(s:ge(s:topk(2, -1):min(2, true)), s)
    if o.normalize then taken = taken / taken:sum(-1, true) end
    taken = taken * (o.scale or 1)
    local y = taken:narrow(2, E + o.zero + 1, 1) * 0
    for i = 1, o.copy do y = y + taken:narrow(2, E + o.zero + i, 1) * x end
    for i = 1, o.constant do
      local v = nn.param(("constant.%d.value"):format(i), {1, C})
      local a = x:linear(nn.param(("constant.%d.weight"):format(i), {2, C})):softmax(-1)
      y = y + taken:narrow(2, E + o.zero + o.copy + i, 1)
        * (a:narrow(2, 1, 1) * x + a:narrow(2, 2, 1) * v)
    end
    return taken:narrow(2, 1, E), y
  end
end
for _, o in ipairs {{zero = 1, copy = 1, constant = 2},
                    {zero = 2, copy = 3, constant = 1, scale = 6},
                    {zero = 1, copy = 1, constant = 1, normalize = true}} do
  own.same(("zero_experts %d %d %d"):format(o.zero, o.copy, o.constant),
    with({"zero_experts", aux_all = 0.05}, o),
    {extra = o.zero + o.copy + o.constant, dense = zero_dense(o)}, QUIET)
end
do -- all that is chosen gives nothing: exactly 0, and no slot
  local m = moe {layers = 1, router = {"zero_experts", zero = 4, copy = 0, constant = 0},
                 top_k = 4, expert_dim = 8}
  local dense = moe {layers = 1, top_k = 4}
  local w = m.params["model.layers.0.mlp.gate.weight"]
  w:narrow(1, 1, E):fill(0)
  for i, info in ipairs(dense._info) do -- the same but for the mixture, whose output is 0
    if not info.name:find "mlp" then engine.copy(dense.params[i], m.params[info.name]) end
    if info.name:find "mlp.experts" then dense.params[i]:fill(0) end
  end
  for e = 1, E do engine.put(m.inputs["mask.1"]:narrow(1, e, 1), {-math.huge}) end
  is(m:logits({1, 2, 3, 4}):hash(), dense:logits({1, 2, 3, 4}):hash(),
    "zero experts add exactly nothing")
  local r = train(moe {router = "zero_experts"}, d, own.TRAIN):wait()
  local computed = values(r, "computed.1")
  ok(computed:min():item() > 0 and computed:max():item() < 2, "series computed", computed)
  r:close()
end
do -- logits go on from layer to layer
  local chained, apart = moe {router = "zero_experts"}, moe {router = {"zero_experts",
                                                                       residual = false}}
  local w = chained.params["model.layers.1.mlp.gate.residual"]
  ok(w and not rawget(chained.params, "model.layers.0.mlp.gate.residual"), "from the second on")
  for i, info in ipairs(apart._info) do
    engine.copy(apart.params[i], chained.params[info.name])
  end
  local ids = {1, 2, 3, 4, 5, 6}
  is(chained:logits(ids):hash(), apart:logits(ids):hash(), "which begins as nothing")
  local before = tensor.randn(w.shape, {seed = 5}) * 30
  engine.copy(w, before)
  ok(t.furthest(chained:logits(ids), apart:logits(ids)) > 0, "and has an effect")
  local r = train(chained, d, own.TRAIN):wait()
  ok(t.furthest(w, before) > 0, "it learns")
  r:close()
end
t.refuses(function() moe {router = {"zero_experts", zero = 0, copy = 0, constant = 0}} end, "none",
  "router 'zero_experts': zero, copy and constant are 0: that is router 'softmax'")

-- ---- padding takes no place ----

model.define("padded_by", function(cfg)
  return function(ids)
    local x = nn.embedding(ids, nn.param("embed", {V, C}, 1.0))
    local pads = (ids % 2):eq(0)
    nn.padding(pads:cast("i32") * -1)
    local y = nn.layer(1, function()
      return nn.scope("mlp", nn.moe, x, {experts = E, top_k = cfg.K, expert_dim = 8,
                                         router = cfg.router})
    end)
    nn.observe("of_padding", own.only(pads:view(-1, 1), y:view(-1, C)):abs():max())
    nn.observe("real", 32 - pads:cast("f32"):sum())
    return nn.linear((x + y):view(-1, C), nn.param("head", {V, C}, 0.2))
  end
end)
for router, K in t.sorted {base = 1, sinkhorn = 2, expert_choice = 2, zero_experts = 2} do
  local m = model.padded_by {vocab = V, context = 16, K = K,
    router = router == "expert_choice" and {router, allow_leak = true} or router}
  local r = train(m, d, own.TRAIN):wait()
  is(values(r, "of_padding"):max():item(), 0, router .. ": padding gets nothing")
  if router == "base" then
    local real, load = values(r, "real"), values(r, "load.1")
    for step = 1, 4 do
      local n = real[step]:item()
      ok(load[step]:max():item() * n / E <= math.ceil(n / E) + 1e-3, "base: shares of real tokens")
    end
  end
  r:close()
end

-- ---- an encoder sees all anyway ----

do
  model.define("encoder", function()
    return function(ids)
      nn.description().stack = "encoder"
      local x = nn.embedding(ids, nn.param("embed", {V, C}, 1.0))
      local y = nn.layer(1, nn.moe, x, {experts = E, top_k = 2, expert_dim = 8,
        router = "expert_choice"})
      return nn.linear((x + y):view(-1, C), nn.param("head", {V, C}, 0.2))
    end
  end)
  local r = train(model.encoder {vocab = V, context = 16}, d, own.TRAIN):wait()
  is(r.state, "done", "in an encoder's stack a router that sees later tokens is not refused")
  r:close()
end

-- ---- every choice and flag of every router trains ----

local function trains(name, option, value)
  local o = {name, allow_leak = not nn.routers[name].causal or nil, [option] = value}
  local good, why
  for _, K in ipairs {2, 1} do
    if name == "forced" then o.experts = K == 2 and "1,3" or "2" end
    local m
    good, m = pcall(moe, {router = o, top_k = K})
    why = m
    if good then
      good, why = pcall(own.bits, m)
      break
    end
  end
  -- what it refuses, it says of the option
  ok(good or tostring(why):find(option, 1, true), ("%s, %s = %s"):format(name, option, value), why)
end
for _, r in ipairs(routers()) do
  local spec = nn.routers[r.name]
  for _, row in ipairs(spec.except and spec.except.alone and {} or spec.rows) do
    local values = row.choices or row[2] == "boolean" and {true, false} or {}
    for _, value in ipairs(values) do
      if row[1] ~= "allow_leak" then trains(r.name, row[1], value) end
    end
  end
end
says(function() moe {router = {"noisy_topk", frozen = true}} end,
  "model.moe: router 'noisy_topk': frozen = true: its weights begin at 0, where all experts are "
    .. "equal")

-- ---- logits that go on ----

do -- within a stack
  local m = model.encdec {layers = 2, decoder_layers = 2, dim = 16, heads = 2, vocab = d.vocab,
    experts = 4, top_k = 2, expert_dim = 8, moe_layers = {1, 2, 3, 4},
    context = 8, input_context = 8, router = "zero_experts", position = "rope"}
  local names = {}
  for _, info in ipairs(m._info) do
    if info.name:find "gate.residual" then names[#names + 1] = info.name end
  end
  is(table.concat(names, " "), "encoder.layers.1.mlp.gate.residual "
    .. "decoder.layers.1.mlp.gate.residual", "a decoder's logits do not go on from the encoder's")
end

do -- forced by the place in each stack's own sequence
  local tok = tokenizer.bytes {sentinels = 100}
  local text = data.string(("To be or not to be, that is the question. "):rep(200),
    {tokenizer = tok})
  local m = model.encdec {layers = 1, decoder_layers = 1, dim = 16, heads = 2, vocab = tok,
    experts = 4, top_k = 2, expert_dim = 8, moe_layers = {1, 2}, context = 16, input_context = 64,
    router = {"forced", experts = "1,3 2,4"}}
  local r = train(m, text, {steps = 2, batch = 2, eval_every = 0, save = false,
                            objective = "span"}):wait()
  is(r.state, "done", "forced goes by the places of the encoder's own sequence")
  r:close()
end

-- Each product of a router is in fp32, whatever the run's precision; all of them go through
-- nn.linear.
do
  local engine, before, low = require "switchyard.engine", nn.linear, {}
  nn.linear = function(x, w, b)
    local precision = engine.precision "fp32"
    engine.precision(precision)
    if w.shape[1] == 8 and precision ~= "fp32" then low[#low + 1] = precision end
    return before(x, w, b)
  end
  local r = train(moe {router = "zero_experts"}, d, with(own.TRAIN, {precision = "bf16",
    health_every = 0})):wait() -- which looks what a router in bf16 would choose
  nn.linear = before
  is(#low, 0, "zero_experts: logits and what goes on of them are in fp32")
  r:close()
end

do -- gshard counts first choices, and importance is of all gates
  local r = train(moe {router = {"gshard", policy = "all"}, balance = {cv2 = 0.1}}, d,
    own.TRAIN):wait()
  local gate, cv2 = r:history "cv2.1", nil
  ok(gate[1][2]:item() < 1, "gshard with cv2 trains", gate[1][2]:item())
  r:close()
end

-- ---- a router that is frozen is all of it ----

do
  local r = train(moe {router = "noisy_topk"}, d, with(own.TRAIN, {paused = true}))
  local m = r.model
  r.layers[1].router:freeze()
  local function of_gate(l)
    local out = {}
    for name, p in pairs(m.params) do
      if type(name) == "string" and name:find("layers." .. l - 1 .. ".mlp.gate", 1, true) then
        out[#out + 1] = name .. " " .. p:hash()
      end
    end
    table.sort(out)
    return table.concat(out, "\n"), #out
  end
  local before, n = of_gate(1)
  local other = of_gate(2)
  r:resume():wait()
  is(n, 2, "noisy_topk has two matrices")
  is(of_gate(1), before, "... and both stand still when the router is frozen")
  ok(of_gate(2) ~= other, "... where another layer's learn")
  r:close()
  r = train(moe {router = "two_towers"}, d, with(own.TRAIN, {paused = true}))
  says(function() r.layers[1].router:freeze() end, "freeze: the router's parameter "
    .. "'model.layers.0.mlp.spread.weight' would go on learning: what is to be frozen with it is "
    .. "named gate.NAME", "a router's parameter of another name")
  r:stop():wait()
  r:close()
end

-- ---- no allocation in the loop ----

local function allocates(what, more)
  local r = train(moe(more), d, {steps = 160, batch = 2, eval_every = 20, eval_batches = 2,
                                 save = false, lint = false, paused = true}) -- a store has a thread
  local at = {}
  every(r, 10, function(self) at[self.step] = tensor.memory().allocations end)
  r:resume():wait()
  is(at[150] - at[70], 0, what .. ": 80 steps with 4 evaluations: allocations")
  r:close()
end
for _, drop in ipairs {"position", "random", "reroute"} do
  allocates(drop, {capacity = {train = 0.9, eval = 1, drop = drop, group = 16,
                            allow_leak = drop ~= "position" or nil}})
end
allocates("bias-and-dropout", {expert_bias = true, expert_dropout = 0.2, activation = "relu"})

-- ---- told ----

local of_name = {}
for _, r in ipairs(routers()) do of_name[r.name] = r end
local function told(name, field, part)
  ok(of_name[name] and of_name[name][field]:find(part, 1, true), ("routers(): %s of %s has %s")
    :format(field, name, part), of_name[name] and of_name[name][field])
end
told("base", "paper", "orthogonal with gain 0.1")
told("expert_choice", "paper", "capacity factor c = 2")
told("expert_choice", "defaults", "factor=1 scope=sequence")
told("zero_experts", "defaults", "zero=1 copy=1 constant=2")
told("sinkhorn", "defaults", "tolerance=0.0001 balanced_eval=0 z=0")

t.done()
