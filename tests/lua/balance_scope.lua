-- Over what balance losses are even: micro-batches, sequences, the whole step.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, moe, with = own.t, own.data, own.moe, own.t.with
local ok, is, says, series = t.ok, t.is, own.says, t.series
local E = own.E

-- Rows come in order, so that 64 x 1, 8 x 8 and 1 x 64 are of the same sequences; the gradient
-- alone moves the parameters.
local STEP = {steps = 2, context = 16, lr = 0.5, warmup = 0, weight_decay = 0, clip = 0,
              optimizer = "sgd", momentum = 0, sampling = "epoch", eval_every = 0, save = false,
              schedule = "constant"}

local function trained(model_options, batch, accumulate, more)
  local m = moe(with({seed = 3}, model_options))
  local r = train(m, d, with(with(STEP, {batch = batch, accumulate = accumulate}), more)):wait()
  return m, r
end

local function off(a, b) -- the largest difference, as a share of the largest value
  local worst = 0
  for i, p in ipairs(a.params) do
    local scale = math.max(p:detach():abs():max():item(), 1e-3)
    worst = math.max(worst, t.furthest(p, b.params[i]) / scale)
  end
  return worst
end

-- ---- one micro-batch of 64 = eight of 8 ----

nn.balance("seen", { -- what it is given, bit for bit
  needs = "scores", rows = {{"seen", "number", nil, 0, 1}},
  update = function(ctx)
    local f = nn.state("f", tensor.zeros(ctx.E))
    nn.update(f, ctx:load "step")
  end,
})

local function state_f(m) return m.states["model.layers.1.mlp.f"]:hash() end

for router, more in t.sorted {softmax = {}, sigmoid = {gamma = 1e-3}} do
  local balance = with({aux = 2, z = 0.05, cv2 = 0.3, seen = 1}, more)
  for _, scope in ipairs {"step", "sequence"} do
    local o = {router = router, balance = with(balance, {scope = scope})}
    local whole, a
    if scope == "sequence" then o.balance.cv2 = nil end -- it is of micro-batches then
    whole, a = trained(o, 64, 1)
    for _, cut in ipairs {{8, 8}, {16, 4}, {1, 64}} do
      local parts, b = trained(o, cut[1], cut[2])
      local what = ("%s, %s: %d x %d = 64: "):format(router, scope, cut[2], cut[1])
      ok(off(whole, parts) < 2e-5, what .. "parameters", ("%g"):format(off(whole, parts)))
      for _, name in ipairs {"loss", "balance.1", "balance.2", "z.2", "cv2.2"} do
        if name == "cv2.2" and not o.balance.cv2 then break end
        local x, y = series(a, name), series(b, name)
        ok(math.abs(x[1] - y[1]) < 1e-5 * x[1] and math.abs(x[2] - y[2]) < 1e-4 * x[2],
          what .. name, ("%.9g %.9g"):format(x[2], y[2]))
      end
      b:close()
      if scope == "step" then
        local once = with(o, {})
        local one, c = trained(once, 64, 1, {steps = 1})
        local two, e = trained(once, cut[1], cut[2], {steps = 1})
        is(state_f(two), state_f(one), what .. "the loads are equal bit for bit")
        c:close()
        e:close()
      end
    end
    a:close()
  end
  local o = {router = router, balance = with(balance, {scope = "micro"})}
  local whole, a = trained(o, 64, 1)
  local parts, b = trained(o, 8, 8)
  ok(off(whole, parts) > 1e-4, router .. ", micro: it is not", ("%g"):format(off(whole, parts)))
  a:close()
  b:close()
end

-- ---- what draws at random draws the same when it is counted ----

nn.router("shaken", {
  route = function(ctx)
    local p = (ctx:logits() + tensor.randn(ctx.N, ctx.E)):softmax(-1)
    local gates, experts = p:topk(ctx.K, -1)
    return {experts = experts, gates = gates, scores = p}
  end,
})
nn.balance("told", {
  needs = "scores", rows = {{"told", "number", nil, 0, 1}},
  loss = function(ctx, routing)
    nn.observe("f", ctx:load "step")
    nn.observe("mine", routing.load)
  end,
})
do
  local _, r = trained({router = "shaken", dropout = 0.3, balance = {told = 1, scope = "step"}}, 4,
    4, {steps = 5})
  local f, mine = r:history "f.2", r:history "mine.2"
  ok(t.furthest(f, mine) < 1e-6, "the loads that are counted are those of the step",
    ("%g"):format(t.furthest(f, mine)))
  r:close()
end

-- ---- values, in plain numbers ----

-- Scores and experts of a layer of 2 sequences of 3 tokens, E = 4, K = 2.
local SCORES = {{.4, .3, .2, .1}, {.1, .2, .3, .4}, {.25, .35, .3, .1}, {.7, .1, .1, .1},
                {.05, .05, .6, .3}, {.3, .4, .2, .1}}

local function expected(first, last)
  local f, P, n = {0, 0, 0, 0}, {0, 0, 0, 0}, last - first + 1
  for i = first, last do
    local order = {1, 2, 3, 4}
    table.sort(order, function(a, b)
      local x, y = SCORES[i][a], SCORES[i][b]
      return x > y or x == y and a < b
    end)
    for k = 1, 2 do f[order[k]] = f[order[k]] + 1 / (2 * n) end
    for e = 1, 4 do P[e] = P[e] + SCORES[i][e] / n end
  end
  local sum = 0
  for e = 1, 4 do sum = sum + 4 * f[e] * P[e] end
  return sum
end

do
  local context = require "switchyard.model.routing_context"
  local p, said = tensor(SCORES), nil
  local _, experts = p:topk(2, -1)
  local r = {scores = p, experts = experts, count = 12, importance = p:mean(1)}
  local function means_of(B) -- ctx:sequence_means, where nothing is padding
    return function(_, x) return x:view(B, 6 // B, 4):mean(2) end
  end
  local function value(scope, B)
    local before, loss = nn.loss, nil
    local ctx = context {E = 4, K = 2, N = 6, B = B, T = 6 // B, options = {},
                         _router = nn.routers.softmax, _coefficients = {aux = 1, scope = scope},
                         _routing = r}
    r.load = r.experts:moe_load({experts = 4})
    nn.loss = function(_, x) loss = x:item() end
    said = pcall(nn.balances.aux.loss, {
      E = 4, B = B, T = 6 // B, setting = function() end, sequence_means = means_of(B),
      scope = function() return scope end, load = function(_, s) return ctx:load(s) end,
    }, r)
    nn.loss = before
    return loss
  end
  local function sequence(B)
    local before, loss = nn.loss, nil
    nn.loss = function(_, x) loss = x:item() end
    nn.balances.sequence.loss({E = 4, K = 2, B = B, T = 6 // B, setting = function() end,
      sequence_means = means_of(B), without_padding = function(_, x) return x end}, {scores = p})
    nn.loss = before
    return loss
  end
  local two = (expected(1, 3) + expected(4, 6)) / 2
  ok(math.abs(value("micro", 2) - expected(1, 6)) < 1e-6, "micro: of all tokens")
  ok(math.abs(value("sequence", 2) - two) < 1e-6, "sequence: of each, and the mean")
  ok(math.abs(value("sequence", 1) - expected(1, 6)) < 1e-6, "sequence: of one")
  ok(said, "no error")
  ok(math.abs(sequence(2) - two) < 1e-6, "DeepSeek-V3's, which counts the scores")
  ok(math.abs(sequence(1) - expected(1, 6)) < 1e-6, "... of one sequence")
end

-- ---- groups of a capacity: of sequences they are the sequences ----

for _, router in ipairs {"softmax", "relu", "zero_experts"} do
  local function hash(scope, group)
    local m, r = trained({router = router, capacity = router ~= "relu" and
      {train = 9, group = group} or nil, balance = {aux = router == "softmax" and 5 or nil,
      scope = scope}}, 4, 2)
    local h = r:hash()
    r:close()
    return h
  end
  local of_sequences = hash("sequence", 16)
  if router ~= "relu" then
    is(hash("group", 16), of_sequences, router .. ": groups of a sequence are as sequences")
    ok(hash("group", 32) ~= of_sequences, router .. ": ... and larger ones are not")
  end
  is(hash("group"), hash("micro"), router .. ": without groups it is the micro-batch")
end

-- ---- the cost is said, and what it costs is nothing without accumulate ----

local function lines_of(code)
  return t.child(("-e '%s'"):format(code:gsub("\n%s*", " ")))
end
local SCRIPT = [[
  local d = data.synthetic{domains = 2, tokens = 8000, seed = 1}
  local m = model.moe{layers = 2, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
    expert_dim = 8, balance = {aux = 1, scope = "%s"}}
  local r = train(m, d, {steps = 2, batch = 2, accumulate = %d, eval_every = 0, save = false,
    name = "cost", paused = true})
  r.accumulate = %d
  r:resume():wait()
]]
local SAID = "a forward pass up to the last router counts the loads of the %d micro-batches"
local function counts(scope, before, after, n)
  local text = lines_of(SCRIPT:format(scope, before, after))
  ok((text:find(SAID:format(n), 1, true) ~= nil) == (n > 0),
    ("%s, accumulate %d, then %d"):format(scope, before, after), text)
  return text
end
ok(counts("step", 4, 4, 4):find "before a step, %d+%% more FLOPs", "with its cost")
counts("step", 1, 1, 0)
counts("step", 1, 3, 3)
counts("micro", 4, 4, 0)

-- Where rows have padding, how many tokens a step has is counted as well: for a loss with weight.
local PADDED = [[
  model.define("padded", function(cfg)
    return function(ids)
      local x = nn.embedding(ids, nn.param("embed", {cfg.vocab, 16}, 1.0))
      nn.padding((ids %% 3):gt(0):cast "i32" * -1)
      x = x + nn.layer(1, function()
        return nn.moe(x, {experts = 4, top_k = 2, expert_dim = 8, aux = %g, z = %g,
          scope = "step"})
      end)
      return nn.head(x, nn.param("head", {cfg.vocab, 16}, 0.2))
    end
  end)
  local d = data.synthetic{domains = 2, tokens = 8000, seed = 1}
  local r = train(model.padded {vocab = d.vocab, context = 16}, d, {steps = 1, batch = 2,
    accumulate = 4, eval_every = 0, save = false, name = "cost", paused = true})
  r.%s = 0.5
  r:resume():wait()
]]
local function counts_padded(aux, z, changed, so)
  local text = lines_of(PADDED:format(aux, z, changed))
  local said = text:find(SAID:format(4), 1, true) ~= nil
  ok(said == so and text:find("step 1/1", 1, true),
    ("padding, aux %g, z %g, %s changed"):format(aux, z, changed), text)
end
counts_padded(0, 0, "lr", false)
counts_padded(0, 0, "aux", true)
counts_padded(0, 0, "z", true)
counts_padded(0, 1, "lr", true)

-- ---- resume, rewind, replay, threads ----

do
  local o = {router = "softmax", balance = {aux = 1, scope = "step"}}
  local keep = {steps = 6, batch = 2, accumulate = 3, checkpoint_every = 2, keep = 9,
                eval_every = 0, name = "scope-run"}
  local m = moe(o)
  local r = train(m, d, keep):wait()
  local hash = r:hash()
  r:rewind(3)
  r:resume()
  is(r:wait():hash(), hash, "rewind")
  local f = r:fork {step = 3, name = "scope-fork"}:wait()
  is(f:hash(), hash, "fork")
  f:close()
  r:close()
  is(replay "scope-run".identical, true, "replay")
  local threads = tensor.threads()
  tensor.threads(threads == 1 and 2 or 1)
  local again = train(moe(o), d, with(keep, {name = "scope-threads"})):wait()
  tensor.threads(threads)
  is(again:hash(), hash, "threads")
  again:close()
  local recomputed = train(moe(o), d, with(keep, {name = "scope-recompute", recompute = true}))
  is(recomputed:wait():hash(), hash, "recompute")
  recomputed:close()
end

-- ---- losses of routers themselves, and micro-batches with more and less padding ----

local function of_parts(what, make, least)
  local function run(batch, accumulate)
    local m = make()
    local r = train(m, d, with(STEP, {batch = batch, accumulate = accumulate})):wait()
    return m, r
  end
  local whole, a = run(64, 1)
  local worst = 0
  for _, cut in ipairs {{8, 8}, {1, 64}} do
    local parts, b = run(cut[1], cut[2])
    worst = math.max(worst, off(whole, parts))
    b:close()
  end
  a:close()
  ok(worst < (least or 2e-5), what .. ": micro-batches are one batch", worst)
end

for _, router in ipairs {{"relu", l1 = 0.5}, {"zero_experts", aux_all = 2}} do
  for _, scope in ipairs {"step", "sequence"} do
    of_parts(("%s, %s"):format(router[1], scope), function()
      return moe {seed = 3, router = router, balance = {scope = scope}}
    end)
  end
end

-- Two ids in three are padding, so that rows differ in how many tokens they have.
model.define("holes", function(cfg)
  return function(ids)
    local x = nn.embedding(ids, nn.param("embed", {own.V, own.C}, 1.0))
    nn.padding((ids % 3):gt(0):cast "i32" * -1)
    local y = nn.layer(1, function()
      return nn.scope("mlp", nn.moe, x, with({experts = E, top_k = 2, expert_dim = 8,
        router = cfg.router}, cfg.rules))
    end)
    return nn.head(x + y, nn.param("head", {own.V, own.C}, 0.2))
  end
end)
for router, rules in t.sorted {softmax = {aux = 5, z = 1, cv2 = 1}, relu = {},
                               zero_experts = {}, sigmoid = {aux = 5, z = 1}} do
  of_parts("padding, " .. router, function()
    local own_loss = router == "relu" and {l1 = 0.5} or router == "zero_experts" and {aux_all = 2}
    return model.holes {vocab = own.V, context = 16, seed = 3,
                        router = with(own_loss or {}, {name = router}),
                        rules = with(rules, {scope = "step"})}
  end)
end

-- A step whose numbers are not finite leaves nothing in those after it.
do
  local m = moe {balance = {cv2 = 0.1, aux = 0.1, scope = "step"}}
  local r = train(m, d, {steps = 14, batch = 2, accumulate = 2, warmup = 0, eval_every = 0,
    checkpoint_every = 1, keep = 20, name = "scope-not-finite", paused = true, clip = 0,
    schedule = "constant", optimizer = "sgd", momentum = 0, weight_decay = 0})
  r:steps(3):wait()
  local third = r:hash()
  r:steps(2):wait()
  local fifth = r:hash()
  r:rewind(3)
  r.lr = 1e6
  r:steps(4):wait()
  local n = r:history "skipped"
  ok(n[n.shape[1]][2]:item() > 0, "steps that are not finite are skipped", tostring(n))
  r:rewind(3)
  is(r:hash(), third, "rewound behind them")
  r:steps(2):wait()
  is(r:hash(), fifth, "... it computes what it did before them")
  r:stop():wait()
  r:close()
end

-- ---- refusals ----

says(function() moe {balance = {scope = "batch"}} end,
  "model.moe: balance: unknown scope 'batch'; there are: micro, sequence, group, step")
nn.balance("early", {
  needs = "scores", rows = {{"early", "number", nil, 0, 1}},
  loss = function(ctx) ctx:load "never" end,
})
says(function() moe {balance = {early = 1}} end,
  "moe: balance rule 'early': ctx:load: unknown scope 'never'; there are: micro, sequence, "
    .. "group, so_far, step")
nn.router("forward", {
  route = function(ctx)
    ctx:whole("x", ctx.x:sum())
  end,
})
says(function() moe {router = "forward"} end,
  "moe: router 'forward': ctx:whole: it is known when tokens are routed: in a balance rule")

-- ---- a coefficient that is 0 costs nothing ----

do
  -- A step; what was counted before it, as a number.
  local function counted(r)
    for _, total in pairs(r._m._totals) do total:fill(0) end
    r:steps(1):wait()
    local sum = 0
    for _, total in pairs(r._m._totals) do sum = sum + total:sum():item() end
    return sum
  end
  local function model_of(balance)
    return moe {layers = 1, router = {"deepseek_v3", groups = 2, keep = 1}, balance = balance}
  end
  local o = with(STEP, {steps = 8, batch = 2, accumulate = 4, paused = true})
  local r, micro = train(model_of {scope = "step"}, d, o), train(model_of {}, d, o)
  is(#r._beside, 0, "aux = 0: nothing is said of a pass more", r._beside[1])
  counted(micro)
  is(counted(r), 0, "... and there is none")
  is(r:hash(), micro:hash(), "... the run is that of micro-batches")
  is(r:history("balance.1"):hash(), micro:history("balance.1"):hash(), "... as is its series")
  r.aux = 0.5
  is(counted(r), 4 * 2 * 16 * 2, "r.aux = 0.5: the step's choices are counted")
  r.aux = 0
  is(counted(r), 0, "r.aux = 0: they are not")
  r.aux = 0.5
  r:steps(2):wait()
  local hash = r:hash()
  r:close()
  micro:close()
  -- the same from the beginning, in one go
  local again = train(model_of {scope = "step"}, d, o)
  again:steps(1):wait()
  again.aux = 0.5
  again:steps(1):wait()
  again.aux = 0
  again:steps(1):wait()
  again.aux = 0.5
  again:steps(2):wait()
  is(again:hash(), hash, "the same bits again")
  again:close()
  again = train(model_of {scope = "step"}, d, with(o, {save = true, name = "weighed",
                                                       checkpoint_every = 2}))
  again:steps(3):wait()
  again.aux = 0.5
  again:resume():wait()
  hash = again:hash()
  again:rewind(2)
  is(again.aux, 0, "a rewind to where it was 0")
  again:steps(1):wait()
  again.aux = 0.5
  again:resume():wait()
  is(again:hash(), hash, "... gives the same bits behind it")
  again:close()
  is(replay "weighed".identical, true, "replayed")
  r = train(model_of {scope = "step", cv2 = 0}, d, o)
  is(counted(r), 0, "cv2 = 0 likewise")
  r.cv2 = 0.5
  ok(counted(r) > 0, "... and where it is not")
  r:close()
end

t.done()
