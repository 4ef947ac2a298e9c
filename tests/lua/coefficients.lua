-- Coefficients that go by the steps, and routers that do not learn.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, moe, with = own.t, own.data, own.moe, own.t.with
local ok, is, says, series = t.ok, t.is, own.says, t.series

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
  local folder = t.scratch "model"
  assert(m:save(folder))
  local back = assert(model.load(folder))
  local f = assert(io.open(folder .. "/config.json"))
  ok(f:read("a"):find '"router_aux_loss_coef": *0%.5', "for others as a number")
  f:close()
  is(back.cfg.balance.aux.warmup, 4, "a model on disk has it")
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
    local with_, aux = losses {aux = 1000, z = 1000, sequence = 1000, simbal = 1000,
                               cv2 = scope ~= "sequence" and 1000 or nil, scope = scope}
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

for _, router in ipairs {"softmax", "sigmoid", "gpt_oss"} do
  local m = moe {router = {router, frozen = true}, balance = {aux = 1}}
  local before, inner = {}, m.params["model.layers.0.mlp.experts.up_proj.weight"]:hash()
  for i, info in ipairs(m._info) do
    if info.name:find("gate.", 1, true) then before[i] = m.params[i]:hash() end
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

do -- of a router's own loss
  local function hash(aux_all)
    return own.bits(moe {router = {"zero_experts", aux_all = aux_all}, balance = {z = 0}})
  end
  ok(hash(0) ~= hash(1), "aux_all is a loss")
  is(hash({1, last = 9}), hash(1), "... that goes by the steps as well")
  local m = moe {router = {"zero_experts", aux_all = {1, last = 2}, tau = {0.5, warmup = 2}}}
  local r = train(m, d, RUN):wait()
  is(table.concat(series(r, "aux_all"), " "):match "^%S+ %S+ %S+", "1.0 1.0 0.0", "a series")
  is(table.concat(series(r, "tau"), " "):match "^%S+ %S+ %S+", "0.25 0.5 0.5", "and its other one")
  r:close()
end

do -- read back as they were given
  local m = moe {balance = {aux = 0.7, z = {0.3, warmup = 9}}}
  local r = train(m, d, with(RUN, {name = "given", paused = true}))
  is(r.aux, 0.7, "r.aux is what balance says")
  is(r.z, 0.3, "... the height of one that goes by the steps")
  r.aux = 1 / 3
  is(r.aux, 1 / 3, "... and what was set")
  r:steps(3):wait()
  r.z = {0.2, warmup = 3}
  is(r.z, 0.2, "a table")
  r:resume():wait()
  r:rewind(1)
  is(r.aux, 1 / 3, "of then")
  r:close()
end

do -- what r.aux shows is not what a schedule makes of it: a line says so
  local m = moe {balance = {aux = {0.01}}}
  local r = train(m, d, with(RUN, {name = "outlook", paused = true}))
  r:steps(4):wait()
  local engine, told = require "switchyard.engine", nil
  local event = engine.event
  engine.event = function(_, _, text) told = text end
  for said, value in t.sorted {["aux is 0 from now on: its schedule is over"] = {0.1, steps = 3},
                               ["aux is 0.05 in step 5: its schedule counts from the run's first"] =
                              {0.1, warmup = 10}} do
    r.aux = value
    is(told, said, "r.aux = {...}: " .. said)
  end
  told = nil
  r.aux = {0.2}
  is(told, nil, "nothing where it is what it shows")
  engine.event = event
  r:close()
end

do -- both halves of a table are set between the same two steps
  local m = moe {balance = {aux = {0.5, warmup = 4}}}
  local r = train(m, d, {steps = 1000000000, batch = 1, warmup = 1, eval_every = 0,
                      save = false})
  for i = 1, 40 do r.aux = {0.001 * i, warmup = i} end
  r:stop():wait()
  local steps, apart = {}, 0
  for _, e in ipairs(r:journal()) do
    if e.text:find "^aux" then steps[#steps + 1] = e.step end
  end
  for i = 1, #steps - 1, 2 do apart = apart + (steps[i] ~= steps[i + 1] and 1 or 0) end
  is(#steps, 80, "a table is two entries")
  is(apart, 0, "of one step")
  r:close()
end

do -- what a router does not go by
  local r = train(moe {router = "quantile"}, d, with(RUN, {name = "quantile", paused = true}))
  own.says(function() r.aux = 0.1 end, "train: aux has no effect with router 'quantile'")
  own.says(function() r.gamma = 0.1 end, "train: gamma has no effect with router 'quantile'")
  r:close()
  r = train(model.dense {layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab}, d,
    with(RUN, {name = "dense", paused = true}))
  own.says(function() r.aux = 0.1 end, "train: aux has no effect: no mixture has it")
  r:close()
end

do -- one name, one value
  local function two(first, second)
    model.define("two_mixtures", function(cfg)
      return function(ids)
        local x = nn.embedding(ids, nn.param("embed", {cfg.vocab, 16}))
        for l, given in ipairs {first, second} do
          local o = with({experts = 4, top_k = 2, expert_dim = 8}, given)
          x = x + nn.layer(l, nn.moe, x, o)
        end
        return nn.head(x, nn.param("head", {cfg.vocab, 16}))
      end
    end)
    return model.two_mixtures {vocab = d.vocab, context = 16}
  end
  ok(two({aux = 0.1}, {aux = 0.1}), "two mixtures of one coefficient")
  own.says(function() two({aux = 0.1}, {aux = 0.2}) end,
    "moe: balance rule 'aux': input: 'aux' is 0.1 in one mixture "
    .. "or layer and 0.2 in another; it has one value in the whole model")
  t.refuses(function() two({aux = {0.1, warmup = 1}}, {aux = {0.1, warmup = 2}}) end,
    "two schedules", "input: 'aux.schedule' is", "it has one value in the whole model")
  t.refuses(function() two({router = {"relu", rate = 1.1}}, {router = {"relu", rate = 1.2}}) end,
    "two rates", "of_layers: 'relu' is l1 = 1e-08, rate = 1.1 in one mixture or layer and "
      .. "l1 = 1e-08, rate = 1.2 in another")
end

do -- what a rule of one's own reads in training alone has an effect as well
  nn.balance("trained", {
    rows = {{"trained", "number"}, {"trained_power", "number"}},
    loss = function(ctx, routing)
      if ctx.mode ~= "train" then return end
      nn.loss("trained", (routing.importance * ctx:setting "trained_power"):square():sum(),
        ctx:setting "trained")
    end,
  })
  local r = train(moe {balance = {trained = 0.1, trained_power = 3}}, d,
    own.TRAIN):wait()
  is(r.trained_power, 3, "a second row that is read in training")
  local seen = r:history("trained.1"):narrow(2, 2, 1):min():item()
  ok(seen >= 9 / 4 - 1e-5, "... by which the loss goes", seen) -- of four equal shares
  r:close()
  nn.balances.trained = nil
  nn.balance("trained", {
    rows = {{"trained", "number"}, {"trained_power", "number"}},
    loss = function(ctx, routing)
      nn.loss("trained", routing.importance:square():sum(), ctx:setting "trained")
    end,
  })
  t.refuses(function() train(moe {balance = {trained = 0.1, trained_power = 3}}, d, own.TRAIN) end,
    "one that is read nowhere", "balance: trained_power = 3 has no effect: no layer's mixture")
  nn.balances.trained = nil
end

do -- what is said of second choices, once
  local r = train(moe {capacity = 1}, d, with(RUN, {name = "second", paused = true}))
  local said = table.concat(r._beside, "; ")
  ok(said:find("first choices have places before second ones, so with top_k = 2", 1, true),
    "of capacity with two experts a token", said)
  is(#r._beside, 1, "once")
  r:close()
  r = train(moe {capacity = 1, top_k = 1}, d, with(RUN, {name = "first", paused = true}))
  is(#r._beside, 0, "with one nothing is said")
  r:close()
end

do -- what is minimized is a series beside the loss
  local function total_of(m, run_more)
    local o = with({steps = 3, batch = 2, eval_every = 0, save = false}, run_more)
    local r = train(m, d, o):wait()
    local total, loss = series(r, "total_loss"), series(r, "loss")
    return total, loss, r
  end
  local balance = {aux = 0.5, z = {0.25, warmup = 3}}
  for _, more in ipairs {{}, {accumulate = 2}, {recompute = true}, {precision = "bf16"}} do
    local total, loss, r = total_of(moe {balance = balance}, more)
    local z, worst = series(r, "z"), 0
    for i = 1, 3 do
      local sum = loss[i]
      for l = 1, 2 do
        sum = sum + 0.5 * series(r, "balance." .. l)[i] + z[i] * series(r, "z." .. l)[i]
      end
      worst = math.max(worst, math.abs(sum - total[i]))
    end
    ok(#total == 3 and worst < 1e-5, "total_loss is the loss and the others by their weights",
      ("%g"):format(worst))
    r:close()
  end
  local total, loss, r = total_of(moe {balance = {aux = 0, z = 0}}, {z_loss = 1e-2})
  ok(total[3] > loss[3], "with z_loss")
  r:close()
  local dense = model.dense {layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab}
  r = train(dense, d, {steps = 2, batch = 2, eval_every = 0, save = false}):wait()
  for _, name in ipairs(r:series()) do ok(name ~= "total_loss", "none where it is the loss") end
  r:close()
end

t.done()
