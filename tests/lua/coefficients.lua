-- Coefficients that go by the steps, and routers that do not learn.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, moe, with = own.t, own.data, own.moe, own.with
local ok, is, says = t.ok, t.is, own.says

local function series(r, name)
  local out = {}
  for i, row in ipairs(r:history(name):table()) do out[i] = row[2] end
  return out
end

-- ---- the same as the learning rate's schedules ----

local LR = {warmup = 4, min_lr = 0.02, lr = 0.2, steps = 12}

local function follows(name, given, more, what)
  local m = moe {balance = {aux = given}}
  local o = with(with({batch = 2, eval_every = 0, save = false}, LR), more)
  local r = train(m, d, o):wait()
  local lr, now, worst = series(r, "lr"), series(r, "aux"), 0
  for i = 1, #lr do worst = math.max(worst, math.abs(lr[i] - now[i])) end
  ok(#now == 12 and worst < 1e-6, name .. (what or ""), ("%g"):format(worst))
  r:close()
end

for _, name in ipairs {"cosine", "linear", "wsd"} do
  follows(name, {0.2, warmup = 4, schedule = name, steps = 12, min = 0.02}, {schedule = name})
end
follows("constant", {value = 0.2, warmup = 4}, {schedule = "constant"})
follows("wsd", {0.2, warmup = 2, schedule = "wsd", steps = 12, min = 0.02, decay = 0.5},
  {schedule = "wsd", decay = 0.5, warmup = 2}, ", decay 0.5")
follows("cosine", {0.2, warmup = 4, steps = 12, min = 0.02}, {}, " is the default where it ends")

-- ---- what it multiplies ----

do
  local function bias_of(gamma)
    local m = moe {layers = 1, router = "sigmoid", balance = {gamma = gamma}}
    local r = train(m, d, with(own.STILL, {batch = 2, steps = 5})):wait()
    r:close()
    return m.states["model.layers.0.mlp.gate.e_score_correction_bias"]
  end
  local most = bias_of({0.5, last = 3}):abs():max():item()
  ok(most > 0 and most <= 1.5, "gamma: 0 behind its last step", tostring(most))
  is(bias_of({0.5, last = 5}):hash(), bias_of(0.5):hash(), "before it is what it is")
  is(bias_of({0.5}):hash(), bias_of(0.5):hash(), "a value alone")
end

-- ---- live ----

local RUN = {steps = 12, batch = 2, warmup = 1, eval_every = 0, checkpoint_every = 3, keep = 9}

do
  local function model_of() return moe {balance = {aux = {0.5, warmup = 4}, z = 0.01}} end
  local r = train(model_of(), d, with(RUN, {name = "coefficient", paused = true}))
  r:steps(5):wait()
  r.aux = 0.25
  r:steps(1):wait()
  r.aux = {0.125, schedule = "linear", steps = 11, warmup = 1}
  says(function() r.aux = {0.1, steps = 2, warmup = 3} end,
    "train: aux: steps must be more than warmup: steps is 2, warmup is 3")
  says(function() r.aux = {0.1, warm = 3} end, "train: aux: unknown option 'warm'; there are: "
    .. "value, warmup, schedule, steps, min, decay, last")
  says(function() r.z = {0.1, warmup = 3} end, "train: z goes by no schedule in this model, it "
    .. "takes a number; one that is made with balance = {z = {0.01}} takes both")
  is(r.aux, 0.125, "its height is the field")
  r:resume():wait()
  local now, text = series(r, "aux"), {}
  for i, v in ipairs(now) do text[i] = ("%.4g"):format(v) end
  is(table.concat(text, " "), "0.125 0.25 0.375 0.5 0.5 0.25 0.05 0.0375 0.025 0.0125 0 0",
    "a number keeps the schedule, a table is another")
  local hash = r:hash()
  r:rewind(4)
  r:resume()
  r:wait()
  ok(r:hash() ~= hash and series(r, "aux")[12] == 0.5, "a rewind goes back to what it was")
  local fork = r:fork {step = 2, name = "coefficient-fork"}:wait()
  is(fork:hash(), r:hash(), "fork")
  fork:close()
  r:close()
  is(replay "coefficient".identical, true, "replay")
  local m = model_of()
  local folder = os.tmpname()
  os.remove(folder)
  assert(m:save(folder))
  local back = assert(model.load(folder))
  local f = assert(io.open(folder .. "/config.json"))
  ok(f:read("a"):find '"router_aux_loss_coef": *0%.5', "for others as a number")
  f:close()
  is(back.cfg.balance.aux.warmup, 4, "a model on disk has it")
  os.execute("rm -r '" .. folder .. "'")
end

do -- resume
  local function part(name, steps)
    return train(moe {balance = {aux = {0.5, warmup = 8}}}, d,
      with(RUN, {name = name, steps = steps, schedule = "constant"}))
  end
  local whole = part("coefficient-whole", 9):wait()
  local r = part("coefficient-part", 5):wait()
  r:close()
  r = assert(train.resume("coefficient-part", {steps = 9}))
  r:resume()
  is(r:wait():hash(), whole:hash(), "resume")
  r:close()
  whole:close()
end

-- ---- options of routers ----

nn.router("warm", {
  rows = {{"heat", "number", 1, 0, 10, help = "temperature", scheduled = true}},
  route = function(ctx)
    local heat = ctx:setting "heat"
    local p = (ctx:logits() / (heat + 1)):softmax(-1)
    local gates, experts = p:topk(ctx.K, -1)
    return {experts = experts, gates = gates, scores = p}
  end,
})
do
  local m = moe {router = {"warm", heat = {4, warmup = 4}}}
  local r = train(m, d, {steps = 5, batch = 2, eval_every = 0, save = false}):wait()
  is(table.concat(series(r, "heat"), " "), "1.0 2.0 3.0 4.0 4.0", "an option that is scheduled")
  ok(m:logits {0, 1, 2}:isfinite():all(), "evaluated")
  r:close()
  says(function() moe {router = {"warm", heat = {40}}} end,
    "model.moe: router 'warm': heat: value must be from 0 to 10: it is 40")
  is(#m:generate({1, 2}, {tokens = 3}), 5, "and written with")
end
says(function() moe {router = {"sigmoid", scale = {1}}} end,
  "model.moe: router 'sigmoid': scale must be a number, got table")

-- ---- what is malformed ----

local function wrong(given, line)
  says(function() moe {balance = {aux = given}} end, "model.moe: balance: aux" .. line)
end
wrong({0.1, steps = 4, schedule = "constant"}, ": steps has no effect: the schedule is constant")
wrong({0.1, min = 0.01}, ": min has no effect: the schedule is constant")
wrong({0.1, schedule = "linear"}, ": steps is missing: where the schedule linear ends")
wrong({0.1, steps = 10, decay = 0.1}, ": decay has no effect: the schedule is cosine")
wrong({0.1, schedule = "stairs"},
  ": unknown schedule 'stairs'; there are: constant, cosine, linear, wsd")
wrong({-1}, ": value must be from 0 to 1000000: it is -1")
wrong({0.1, value = 0.1}, ": its value is given twice")
wrong({0.1, warmup = 1.5}, ": warmup must be a whole number: it is 1.5")
says(function() moe {balance = {sequence = {warmup = 3}}} end,
  "model.moe: balance: sequence: its value is missing: {0.01, warmup = 100}")

-- ---- the loss that is reported holds none of them ----

do
  local function losses(balance, router)
    local m = moe {router = router, balance = balance}
    local r = train(m, d, {steps = 1, batch = 2, lr = 1e-30, weight_decay = 0, eval_every = 1,
                           save = false}):wait()
    local out = ("%.17g %.17g %.17g"):format(r.loss, r.val_loss, m:loss(d))
    local aux = r:history(router and "l1.1" or "balance.1")[1][2]
    r:close()
    return out, aux
  end
  for _, scope in ipairs {"micro", "sequence", "step"} do
    local without = losses {aux = 0, z = 0}
    local with_, aux = losses {aux = 1000, z = 1000, sequence = 1000, cv2 = 1000, simbal = 1000,
                                  scope = scope}
    is(with_, without, "losses with and without those of balance: " .. scope)
    ok(aux > 0.5, "... which are reported beside", aux)
  end
  local name, before = nil, nil
  for _, l1 in ipairs {1e-8, 1} do
    local out, aux = losses(nil, {"relu", l1 = l1})
    is(out, before or out, "relu: no loss holds its L1")
    before, name = out, aux
  end
  ok(name > 0, "relu: which is reported")
end

-- ---- routers that do not learn ----

for _, router in ipairs {"softmax", "sigmoid", "gpt_oss", "noisy_topk"} do
  local m = moe {router = {router, frozen = true}, balance = {aux = 1}}
  local before, inner = {}, m.params["model.layers.0.mlp.experts.up_proj.weight"]:hash()
  for i, info in ipairs(m._info) do
    if info.role == "router" then before[i] = m.params[i]:hash() end
  end
  local r = train(m, d, {steps = 4, batch = 2, lr = 0.1, weight_decay = 0.5, eval_every = 0,
                         save = false}):wait()
  for i, hash in pairs(before) do
    is(m.params[i]:hash(), hash, router .. ": frozen, " .. m._info[i].name)
  end
  ok(m.params["model.layers.0.mlp.experts.up_proj.weight"]:hash() ~= inner, "the experts learn")
  for _, row in ipairs(r:history("grad_norm.router.1"):table()) do
    if row[2] ~= 0 then ok(false, "no gradient of the router", row[2]) end
  end
  says(function() r.layers[1].router:unfreeze() end,
    "unfreeze: the model's router is frozen for good (router = {..., frozen = true})")
  r:close()
end

do -- live
  local m = moe {}
  local function weight(l) return m.params[("model.layers.%d.mlp.gate.weight"):format(l)]:hash() end
  local r = train(m, d, with(RUN, {name = "frozen", paused = true}))
  r:steps(3):wait()
  local one, two = weight(0), weight(1)
  r.layers[1].router:freeze()
  r:steps(3):wait()
  ok(weight(0) == one and weight(1) ~= two, "r.layers[1].router:freeze()")
  r.layers[1].router:unfreeze()
  r:resume():wait()
  ok(weight(0) ~= one, "... and unfreeze")
  r:close()
  is(replay "frozen".identical, true, "replayed")
end

t.done()
