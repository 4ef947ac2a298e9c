-- Balance rules and updates of one's own: loads of micro-batches, sequences and steps; capacity,
-- disabled experts, draws and what is set live with any number of experts a token.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, moe, bits, same, only = own.t, own.data, own.moe, own.bits, own.same, own.only
local ok, is, with, E, STILL = t.ok, t.is, t.with, own.E, own.STILL

local function run(m, more) return train(m, d, with(STILL, more)):wait() end
local function series(r, name) return r:history(name):table() end -- rows of step, values

local function column(list, i)
  local out = {}
  for n, row in ipairs(list) do out[n] = ("%.9g"):format(row[i]) end
  return table.concat(out, " ")
end

-- ---- rules ----

local before = bits(moe())
nn.balance("probe", {
  needs = "scores", rows = {{"probe", "number", nil, 0, 1, help = "weight"}},
  loss = function(ctx, routing)
    nn.observe("micro", ctx:load "micro")
    nn.observe("sequence", ctx:load("sequence"):view(-1))
    nn.observe("step", ctx:load "so_far")
    local mean = routing.scores:view(ctx.B, ctx.T, ctx.E):mean(2)
    nn.loss("probe", (ctx:load "sequence" * mean):sum(), ctx:setting "probe")
  end,
  update = function(ctx)
    local loads = nn.state("loads", tensor.zeros(ctx.E))
    nn.update(loads, loads + ctx:load "so_far")
  end,
})
is(bits(moe()), before, "a rule without a default is in force nowhere until it is asked for")

local function shares(x, dim) return x / x:sum(dim, true) end
same("the program's rules and one's own", "threshold", {dense = function(p, batch)
  local s, B, T = p:sigmoid(), table.unpack(batch.tokens.shape)
  local taken = s:gt(0.5):cast "f32"
  local each = shares(taken:view(B, T, E):sum(2), -1)
  local load, scores = shares(taken:sum(1), 1), s / s:sum(-1, true)
  nn.loss("probe", (each * scores:view(B, T, E):mean(2)):sum(), 0.5)
  nn.loss("balance", (load * scores:mean(1)):sum() * E, 0.2)
  nn.loss("z", p:logsumexp(-1):square():mean(), 0.1)
  return only(s:gt(0.5), s)
end}, {coefficients = {aux = 0.2, z = 0.1, probe = 0.5}})

local function loads(router, accumulate, batch, context)
  local m = moe {layers = 1, router = router, balance = {probe = 0}}
  local r = run(m, {accumulate = accumulate, batch = batch, context = context})
  local sequence = series(r, "sequence.1")
  local is_micro = r:history("micro.1"):hash() == r:history("step.1"):hash()
  r:close()
  return m.states["model.layers.0.mlp.loads"]:hash(), sequence, is_micro
end

for _, router in ipairs {"soft", "threshold"} do
  local whole, sequence, is_micro = loads(router, 1, 4)
  is(loads(router, 2, 2), whole, router .. ": loads of a step are those of one batch, bit for bit")
  is(loads(router, 4, 1), whole, router .. ": ... of four micro-batches")
  is(loads(router, 2, 3, 15), (loads(router, 1, 6, 15)), -- in f32 23 / 90 * 90 is not 23
    router .. ": ... also where shares are rounded")
  ok(is_micro, router .. ": of one micro-batch they are its own")
  is(#sequence[1], 1 + 4 * E, router .. ": loads of each of 4 sequences")
  local sum = 0
  for i = 2, 1 + E do sum = sum + sequence[1][i] end
  t.near(sum, 1, 1e-6, router .. ": a sequence's sum to 1")
end

do -- in a loss: of the micro-batches so far; a series is their mean
  local function observed(name, accumulate, steps)
    local r = run(moe {layers = 1, router = "soft", balance = {probe = 0}},
      {accumulate = accumulate, batch = 2, steps = steps})
    local out = series(r, name)
    r:close()
    return out
  end
  local step, micro = observed("step.1", 2, 2), observed("micro.1", 1, 4)
  for i = 1, 2 do
    local first, second = micro[2 * i - 1][2], micro[2 * i][2]
    t.near(step[i][2], (first + (first + second) / 2) / 2, 1e-6, "a step's load in a loss, " .. i)
  end
end

do -- the program's moves it by gamma, whatever an expert lacks
  local m = moe {layers = 1, router = "sigmoid", balance = {gamma = 0.25}}
  local r = run(m, {batch = 4, steps = 1})
  local load, want = series(r, "load.1")[1], {}
  for e = 1, E do want[e] = load[1 + e] < 1 and 0.25 or load[1 + e] > 1 and -0.25 or 0 end
  local bias = m.states["model.layers.0.mlp.gate.e_score_correction_bias"]:table()
  is(table.concat(bias, " "), table.concat(tensor(want):table(), " "), "the bias moves by gamma")
  r:close()
end

do -- a rule that moves the bias in proportion, where the program's stands still
  nn.balance("even", {
    needs = "bias", rows = {{"pull", "number", nil, 0, 1, help = "of the bias"}},
    update = function(ctx, load)
      nn.update(ctx:bias(), ctx:bias() + (load * -1 + 1 / ctx.E) * ctx:setting "pull")
    end,
  })
  local m = moe {layers = 1, router = "sigmoid", balance = {gamma = 0, pull = 0.5}}
  local r = run(m, {batch = 4, steps = 1})
  local load, want = series(r, "load.1")[1], {}
  for e = 1, E do want[e] = (1 / E - load[1 + e] / E) * 0.5 end
  local bias = m.states["model.layers.0.mlp.gate.e_score_correction_bias"]
  ok(t.furthest(bias, tensor(want)) < 1e-6 and bias:abs():max():item() > 0,
    "a rule of one's own moves the bias", tostring(bias))
  r:close()
  nn.balances.even = nil
end

-- ---- updates of a router ----

nn.router("counting", {
  route = function(ctx)
    local logits = ctx:logits()
    local p = logits:softmax(-1)
    local seen = nn.state("seen", tensor.zeros(ctx.E))
    local mean = nn.state("mean", tensor.zeros(1))
    nn.update(mean, mean * 0.9 + nn.step_sum("logits", logits:sum()) * 0.1)
    nn.observe("now", logits:sum())
    local gates, experts = p:topk(ctx.K, -1)
    return {experts = experts, gates = gates, scores = p,
            update = function(load) nn.update(seen, seen + load) end}
  end,
})

local function counted(accumulate, batch)
  local m = moe {layers = 1, router = "counting"}
  local r = run(m, {accumulate = accumulate, batch = batch})
  local load, now = series(r, "load.1"), series(r, "now.1")
  r:close()
  return m.states["model.layers.0.mlp.seen"], m.states["model.layers.0.mlp.mean"], load, now
end

do
  local seen, mean, load, now = counted(1, 4)
  local sums, running = {0, 0, 0, 0}, 0
  for i = 1, 4 do
    for e = 1, E do sums[e] = sums[e] + load[i][1 + e] / E end
    running = running * 0.9 + now[i][2] * 0.1
  end
  ok(t.furthest(seen, tensor(sums)) < 1e-6, "update(load) is given the loads of each step")
  t.near(mean:table()[1], running, 1e-4, "a state is updated after each step")
  is((counted(2, 2)):hash(), seen:hash(), "update(load) of two micro-batches has the bits of one")
end

-- ---- capacity, disabled experts, draws, what is set live ----

do -- what is dropped of a variable number: counted in plain operations
  nn.router("counted", {route = function(ctx)
    local s = ctx:logits():sigmoid()
    local chosen, slots = s:gt(0.51), math.ceil(0.5 * ctx.N * ctx.K / ctx.E)
    local count = chosen:cast("f32"):sum(1)
    nn.observe("largest", only(chosen, s):max(-1):mean())
    local over = (count - slots):relu()
    nn.observe("over", over:sum() / count:sum())
    nn.observe("over_each", over / count:maximum(tensor.full(1, slots)))
    return {chosen = chosen, gates = s, scores = s / s:sum(-1, true)}
  end})
  local r = run(model.bare {vocab = own.V, context = 16, router = "counted", capacity = 0.5},
    {batch = 4})
  ok(series(r, "drop.1")[1][2] > 0.1, "a capacity drops")
  is(column(series(r, "drop.1"), 2), column(series(r, "over.1"), 2), "the share that is dropped")
  is(column(series(r, "confidence.1"), 2), column(series(r, "largest.1"), 2),
    "the largest gate of those chosen")
  local dropped, over = series(r, "dropped.1")[1], series(r, "over_each.1")[1]
  for e = 1, E do t.near(dropped[1 + e], over[1 + e], 1e-6, "... of expert " .. e) end
  r:close()
end

local ALL = {"by_id", "threshold", "second", "nothing", {"own_choice", allow_leak = true}}
for _, router in ipairs(ALL) do
  local name = type(router) == "table" and router[1] or router
  local r = train(moe {router = router}, d, with(STILL, {steps = 8, batch = 4, paused = true}))
  local expert = r.layers[2].experts[3]
  local function load() r:steps(2):wait() return r.layers[2].load[3] end
  ok(load() > 0, name .. ": an expert has tokens")
  expert:disable()
  is(load(), 0, name .. ": disabled, it has none")
  ok(r.layers[2].load[4] > 0, name .. ": but its neighbour has")
  ok(r.loss == r.loss and r:eval() > 0, name .. ": and the run goes on")
  expert:enable()
  ok(load() > 0, name .. ": enabled again")
  r:stop():wait()
  r:close()
end

do -- nor is it chosen where there are other choices
  nn.router("one_more", {gives = "logits", route = function(ctx)
    local gates, choices = ctx:logits {extra = 1}:softmax(-1):topk(2, -1)
    local real = choices:le(ctx.E)
    nn.observe("third", choices:eq(3):cast("f32"):sum())
    local experts = real:where(choices, tensor.zeros(choices.shape, {dtype = "i32"}))
    return {experts = experts, gates = gates, fewer = true}
  end})
  local r = train(moe {layers = 1, router = "one_more"}, d, with(STILL, {batch = 4, paused = true}))
  local function third() r:steps(1):wait() return series(r, "third.1")[r.step][2] end
  ok(third() > 0, "extra choices: an expert is chosen")
  r.layers[1].experts[3]:disable()
  is(third(), 0.0, "disabled, it is not")
  r:stop():wait()
  r:close()
end

nn.router("by_lot", {
  gives = "", doc = "The control: experts by lot, anew in each step.",
  route = function(ctx)
    local _, experts = tensor.rand({ctx.N, ctx.E}):topk(ctx.K, -1)
    return {experts = experts, gates = tensor.full({ctx.N, ctx.K}, 1 / ctx.K)}
  end,
})
do
  local function drawn()
    local r = run(moe {layers = 1, router = "by_lot"}, {batch = 4})
    local load = r:history "load.1":narrow(2, 2, E):contiguous()
    r:close()
    return load
  end
  local load = drawn()
  ok(load[1]:hash() ~= load[2]:hash(), "what is drawn is anew in each step")
  is(drawn():hash(), load:hash(), "and the same in another run")
end

do -- an option that is set while it runs
  local r = train(moe {router = {"threshold", cutoff = 0.4}}, d,
    with(STILL, {steps = 8, batch = 4, paused = true}))
  t.near(r.cutoff, 0.4, 1e-6, "an option that ctx:setting asks for is a field of the run")
  local function confidence() r:steps(2):wait() return series(r, "confidence.1")[r.step][2] end
  local lower = confidence()
  r.cutoff = 0.6
  ok(confidence() < lower, "which changes it from the next step")
  own.says(function() r.cutoff = 2 end, "train: cutoff must be from 0 to 1: it is 2")
  r:stop():wait()
  r:close()
end

t.done()
