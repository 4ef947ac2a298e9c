-- What every router must be (its file in lua/routers/ says what of it is not so, and why: except):
-- one expert alone is the dense layer; experts in another order change nothing; one token after
-- another is the whole sequence; micro-batches of a step are one batch; of equal scores the lower
-- expert; gradients are those of finite differences; a disabled expert has no token; the same bits
-- on any number of threads, on every kernel set, computed again, rewound, resumed and replayed.
-- TAP.  It walks through routers(), so a new router is tried without a line here.  With "worker" as
-- argument: print the hashes that are compared.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local engine = require "switchyard.engine"
local nn = require "switchyard.model.nn"
local hand = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/by_hand.lua")
local cases = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/identity_cases.lua")
local ok, is = t.ok, t.is

local d = data.synthetic {domains = 4, tokens = 20000, seed = 1}
local E, C, F, T = cases.E, 16, 8, 16
local with, scatter = t.with, cases.scatter
local worker, fast = arg[1] == "worker", os.getenv "SY_TEST_FAST"

local DENSE = {layers = fast and 1 or 2, dim = C, heads = 2, context = T, vocab = d.vocab}
local MOE = with(DENSE, {experts = E, expert_dim = F})
local SHORT = {steps = fast and 2 or 3, batch = 2, lr = 5e-3, warmup = 1, eval_every = 0,
               save = false}
local IDS = {1, 5, 2, 7, 3, 3, 9, 4}

local function through(m, more)
  local r = train(m, d, with(SHORT, more)):wait()
  local bits = r:hash() .. " " .. r:history("loss"):hash()
  r:close()
  return bits
end

-- What is not so is tried, not believed.
local function holds(case, word, what, good, note)
  local not_so = case.except[word]
  if not not_so then return ok(good, what, note) end
  ok(not good, what .. ": not so, " .. not_so, note)
end

-- ---- one expert is the dense layer ----

local function losses(m)
  local r = train(m, d, with(SHORT, {clip = 0})):wait()
  local hash = r:history("loss"):hash()
  r:close()
  return hash
end

-- Each expert's parameters from the dense layer's.
local function from_dense(one, dense)
  for i, info in ipairs(dense._info) do
    local p = one.params[info.name:gsub("mlp%.(%w+_proj)", "mlp.experts.%1")]
    engine.copy(p, dense.params[i]:view(table.unpack(p.shape)))
  end
  return one
end

-- A mixture of one expert less gate * the dense layer of the same weights.
model.define("one_less_dense", function(cfg)
  local route, seen = cfg.case.router.route, nil
  local function dense(x)
    local p = nn.description().model.params
    local function weight(name, rows, columns)
      return p["model.layers.0.mlp.experts." .. name .. "_proj.weight"]:view(rows, columns)
    end
    local g = seen.gates:narrow(2, 1, 1)
    local given = seen.gate_on == "input" and x * g or x
    local y = nn.swiglu(given:linear(weight("gate", F, C)), given:linear(weight("up", F, C)))
      :linear(weight("down", C, F))
    return (seen.gate_on == "input" and y or y * g) + (seen.plus or tensor.zeros(1))
  end
  return function(ids)
    local x = nn.embedding(ids, nn.param("embed", {cfg.vocab, C}, 1.0)):view(-1, C)
    return nn.layer(1, function()
      cfg.case.router.route = function(ctx) seen = route(ctx) return seen end
      local o = {experts = 1, top_k = 1, expert_dim = F, capacity = false, activation = "silu",
                 expert_bias = false, router = cases.options_of(cfg.case.router, true, 1)}
      local y = nn.scope("mlp", nn.moe, x, with(o, cases.silent(cfg.case.router)))
      cfg.case.router.route = route
      return y - dense(x)
    end)
  end
end)

local function try_gated(case)
  local m = scatter(model.one_less_dense {case = case, vocab = d.vocab, context = T})
  is(m:logits(IDS):abs():max():item(), 0.0, case.name .. ": ... times its gate")
end

local function try_one(case)
  local what = case.name .. ": one expert is the dense layer"
  local good, one = pcall(case.make, {experts = 1, top_k = 1, balance = cases.silent(case.router)})
  if not good then return ok(case.except.one, what, one) end
  local dense = model.dense(with(DENSE, {ffn_dim = F}))
  scatter(from_dense(one, dense))
  local same = one:logits(IDS):hash() == dense:logits(IDS):hash()
  if case.except.one then
    ok(not same, what .. ": not so, " .. case.except.one)
    return try_gated(case)
  end
  ok(same, what)
  is(losses(one), losses(dense), what .. " through some steps")
end

-- ---- experts in another order ----

-- What has a row an expert, of the parameters and states of mixtures.
local function reordered(b, a, order)
  local function each(name, to, from)
    if not name:find("mlp.", 1, true) or from.shape[1] ~= E then return end
    to, from = to:detach():view(E, -1), from:detach():view(E, -1)
    for e, other in ipairs(order) do engine.copy(to[e], from[other]:contiguous()) end
  end
  for i, info in ipairs(a._info) do
    engine.copy(b.params[i], a.params[i])
    each(info.name, b.params[i], a.params[i])
  end
  for name, state in pairs(a.states) do each(name, b.states[name], state) end
  return b
end

local function try_order(case)
  local a = scatter(case.make())
  local b = reordered(case.make(), a, {3, 1, 4, 2})
  local x, y = a:logits(IDS), b:logits(IDS)
  local off = (x - y):abs():max():item() -- a softmax's sum is rounded in the experts' order
  holds(case, "order", case.name .. ": experts in another order change nothing",
    off <= 1e-6 * x:abs():max():item(), off)
end

-- ---- one token after another ----

local function try_decode(case)
  local what = case.name .. ": one token after another is the whole sequence"
  local m = scatter(case.make())
  if not case.router.causal then
    return t.raises(function() m:generate(IDS, {tokens = 1}) end, "cannot write one token after",
      what .. ": refused")
  end
  holds(case, "decode", what, m:_one_by_one(IDS):hash() == m:logits(IDS):hash())
  local before = m:logits({1, 5, 2, 7}):hash()
  is(m:logits({1, 5, 2, 7, 9, 9}):narrow(1, 1, 4):contiguous():hash(), before,
    case.name .. ": sees no later token")
end

-- ---- texts beside a text ----

-- Evaluated at once and one after another; with places for few, and evaluated as in training, too.
local function try_beside(case)
  local function compare(beside, more)
    local m = scatter(case.make(more))
    local good, seen = true, {}
    for n = 1, case.except.decode and 8 or 1 do -- by lot a few may agree by chance
      local one = m:loss(d, {batch = 1, batches = n, context = 8})
      local all = m:loss(d, {batch = 8, batches = n, context = 8})
      good = good and math.abs(one - all) < 1e-6 * one
      seen[n] = ("%.9g %.9g"):format(one, all)
    end
    holds(case, "decode", case.name .. ": evaluation sees no text beside a text" .. beside,
      good, table.concat(seen, ", "))
  end
  compare ""
  local own = (case.router.model or {}).capacity
  if own then compare(", with its places", {capacity = own}) end
  for _, row in ipairs(case.router.rows) do
    if row[1] == "balanced_eval" then
      compare(", balanced", {router = with(cases.options_of(case.router), {balanced_eval = 1})})
    end
  end
end

-- ---- micro-batches of a step ----

local SGD = {steps = 2, context = 8, optimizer = "sgd", momentum = 0, nesterov = false, lr = 0.1,
             warmup = 0, schedule = "constant", weight_decay = 0, clip = 0, sampling = "epoch",
             eval_every = 0, save = false}

-- Coefficients that are seen in two steps, and layers that have one that goes by them.
local LOUD = {aux = 0.02, scope = "step"}
local LAYERS = {deepseek_v4 = 4}

-- Parameters and states after two steps, and the loss on the way.
local function after(case, batch, accumulate, more)
  local balance = {}
  for name, v in pairs(LOUD) do
    balance[name] = cases.has_coefficient(case.router, name) and v or nil
  end
  local given = {balance = balance, layers = LAYERS[case.name]}
  local m = scatter(case.make(with(given, more), true))
  local r = train(m, d, with(SGD, {batch = batch, accumulate = accumulate})):wait()
  local loss = r:history("loss"):narrow(2, 2, 1)
  r:close()
  return m, loss
end

-- How far two models' parameters are apart.
local function apart(a, b)
  local worst = 0
  for i in ipairs(a._info) do
    worst = math.max(worst, (a.params[i]:detach() - b.params[i]:detach()):abs():max():item())
  end
  return worst
end

local function same_states(a, b)
  for name, state in pairs(a.states) do
    if b.states[name]:hash() ~= state:hash() then return false, name end
  end
  return true
end

-- What it is not so of is off by more than what a sum in another order is.
local ROUNDING = 1e-6

local function compare_steps(case, what, more)
  local a, loss = after(case, 64, 1, more)
  local b, same = after(case, 8, 8, more)
  local off = (loss - same):abs():max():item() / loss:abs():max():item()
  local worst, states, name = apart(a, b), same_states(a, b)
  if case.except.step then
    return holds(case, "step", what, off < ROUNDING and worst < ROUNDING and states, worst)
  end
  ok(off < ROUNDING, what .. ": the loss", off)
  ok(worst < ROUNDING, what .. ": the parameters", worst)
  ok(states, what .. ": states", name)
end

local function try_step(case)
  compare_steps(case, case.name .. ": eight micro-batches are one batch")
  local own = (case.router.model or {}).capacity
  if not own then return end
  compare_steps(case, case.name .. ": eight micro-batches are one batch, with places for few",
    {capacity = with(own, {group = 64})})
end

-- ---- by hand ----

local function route_by_hand(case, m, x, given)
  local r = hand.route(case.router, m, x, {E = E, K = case.K, ids = IDS, params = given,
                                           options = cases.options_of(case.router)})
  case.form = r.chosen and "chosen" or "experts"
  return r
end

local function try_gradients(case)
  local what = case.name .. ": gradients are those of finite differences"
  local m, names = scatter(case.make()), {}
  local inputs = {tensor.randn({5, C}, {dtype = "f64", seed = 11})}
  for _, info in ipairs(m._info) do
    if info.layer == 1 and info.name:find("mlp.", 1, true) and not info.frozen
      and not info.name:find("experts.", 1, true) then
      names[#names + 1] = info.name
      inputs[#inputs + 1] = m.params[info.name]:detach():cast "f64"
    end
  end
  local good, off = pcall(tensor.gradcheck, function(x, ...)
    local given = {}
    for i, name in ipairs(names) do given[name] = select(i, ...) end
    local r = route_by_hand(case, m, x, given)
    local y = hand.dense(r, E)
    if r.scores then y = y:cat(r.scores, 2) end
    return r.plus and y:cat(r.plus, 2) or y
  end, inputs)
  local none = case.router.gives == "" and tostring(off):find "nothing here wants a gradient"
  holds(case, "gradient", what, none or good and off < 1e-6, off)
end

local function try_ties(case)
  local what = case.name .. ": of equal scores the lower expert's"
  if case.form == "chosen" then return end
  local m = case.make()
  for _, info in ipairs(m._info) do
    if info.name:find("mlp.", 1, true) then m.params[info.name]:detach():fill(0) end
  end
  for _, state in pairs(m.states) do state:detach():fill(0) end
  local r = route_by_hand(case, m, tensor.randn({5, C}, {dtype = "f64", seed = 12}), {})
  local want = {}
  for k = 1, r.experts.shape[2] do want[k] = k end
  local got = r.experts[5]:contiguous():table()
  holds(case, "ties", what, table.concat(got, " ") == table.concat(want, " "),
    table.concat(got, " "))
end

-- ---- the same bits ----

local function try_bits(case)
  local what, whole = case.name .. ": the same bits: ", through(case.make())
  is(through(case.make(), {recompute = true}), whole, what .. "computed again")
  local threads = tensor.threads()
  for _, n in ipairs(fast and {} or {1, 3}) do
    tensor.threads(n)
    is(through(case.make()), whole, what .. "threads " .. n)
  end
  tensor.threads(threads)
  return whole
end

local function try_timeline(case)
  local what, name = case.name .. ": the same bits: ", "identity-" .. case.name
  local o = with(SHORT, {steps = 4, checkpoint_every = 2, name = name, save = true, paused = true,
                         schedule = "constant"})
  local r = train(case.make(), d, o)
  r:steps(3):wait()
  local third = r:hash()
  r:steps(1):wait()
  local last = r:hash()
  r:rewind(3)
  is(r:hash(), third, what .. "rewound")
  r:stop():wait()
  r:close()
  r = train.resume(name):wait()
  is(r:hash(), last, what .. "resumed")
  r:close()
  if fast then return end
  local again = replay(name)
  ok(again.identical and again.step == 4, what .. "replayed", tostring(again))
end

local function try_disabled(case)
  local what = case.name .. ": a disabled expert"
  local r = train(case.make({layers = 1}), d, with(SHORT, {paused = true}))
  r.layers[1].experts[3]:disable()
  r:steps(1):wait()
  is(r.layers[1].load[3], 0, what .. " has no token")
  ok(r.layers[1].load[2] > 0 and r.loss == r.loss, what .. " leaves them to the others", r.loss)
  local after = r:hash()
  r.layers[1].experts[3]:enable()
  r:steps(1):wait()
  ok(r.loss == r.loss and r:hash() ~= after, what .. " can be enabled again", r.loss)
  r:stop():wait()
  r:close()
end

-- What balances goes on while it is off, for many steps.
local function try_long_disabled(case)
  local what, off = case.name .. ": an expert that is off for 40 steps", 40
  local has = not LAYERS[case.name] and cases.has_coefficient(case.router, "gamma")
  local gamma = has and 0.02 or nil
  local r = train(scatter(case.make({layers = 1, balance = {gamma = gamma}})), d, {steps = off + 1,
    batch = 8, lr = 1e-3, warmup = 0, eval_every = 0, save = false, paused = true})
  r.layers[1].experts[3]:disable()
  r:steps(off):wait()
  is(r:history("load.1"):narrow(2, 4, 1):max():item(), 0.0, what .. " has no token in any")
  r.layers[1].experts[3]:enable()
  r:steps(1):wait()
  local most = E / (case.router.varies and 1 or case.K)
  ok(r.layers[1].load[3] < 0.8 * most, what .. " does not get all of them then",
    r.layers[1].load[3] .. " of " .. most)
  r:close()
end

-- ---- all ----

local list = cases.all(model.moe, MOE)

if worker then
  for _, case in ipairs(list) do
    if case.K then print("bits " .. case.name .. " " .. through(case.make())) end
  end
  return
end

local bits = {}
for _, case in ipairs(list) do
  if ok(case.K, case.name .. ": can be tried", case.why) then
    try_gradients(case) -- first: it finds the form
    try_ties(case)
    try_one(case)
    try_order(case)
    try_decode(case)
    try_beside(case)
    try_step(case)
    try_disabled(case)
    try_long_disabled(case)
    bits[case.name] = try_bits(case)
    try_timeline(case)
  end
end

for _, set in ipairs(fast and {{"ref", 1}} or {{"avx2", 3}, {"ref", 1}, {"avx512", 2}}) do
  local cpu, threads = table.unpack(set)
  local text = t.worker(cpu, threads)
  local none = not text:find "^bits" and not text:find "\nbits"
  if none and (text:find "SWITCHYARD_CPU" or text:find(cpu)) then
    t.skip("on " .. cpu, text:match "[^\n]*")
    goto next
  end
  for _, case in ipairs(list) do
    local got = ("\n" .. text):match("\nbits " .. case.name .. " ([^\n]*)")
    is(got, bits[case.name], ("%s: the same bits: on %s with %d threads"):format(case.name, cpu,
      threads))
  end
  ::next::
end

t.done()
