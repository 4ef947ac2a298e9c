-- What is seen of routers at few steps: margins, bf16, gradients apart and importance against plain
-- operations; that looking changes no bit of a run; resume, rewind and replay with it.  TAP.

local engine = require "switchyard.engine"
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local ok, is, near = t.ok, t.is, t.near

local B, T, C, E = 8, 16, 8, 4
local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

-- A mixture that sees embeddings as they are.
model.define("plain_mixture", function(cfg)
  local o = {experts = E, top_k = cfg.top_k, expert_dim = 8, router = cfg.router, aux = cfg.aux,
             z = cfg.z}
  return function(ids)
    local x = nn.embedding(ids, nn.param("table", {cfg.vocab, C}, 0.5))
    local y = nn.layer(1, function(v) return nn.moe(v, o) end, x)
    return nn.head(y, nn.param("head", {cfg.vocab, C}, 0.5))
  end
end)

local function plain(more)
  return model.plain_mixture(t.with({vocab = d.vocab, layers = 1, context = T, top_k = 2}, more))
end

local function one_step(m, more)
  return train(m, d, t.with({steps = 1, batch = B, eval_every = 0, save = false,
                             health_every = 1}, more)):wait()
end

local function at(r, name, row) return t.values(r, name)[row or 1][1]:item() end

-- ---- by plain operations ----

local m = plain{aux = 2, z = 0.4}
local p = {}
for i, x in ipairs(m.params) do
  local name = m._info[i].name:gsub("%.weight$", ""):match "[%a_]+$"
  if name:find "_proj" then engine.copy(x, x:detach() * 40) end -- else the model has no say
  p[name] = x:detach():clone()
end
local batch = small.fields({"tokens", "targets"}, B, T)
engine.batch(d, 1, 0, batch)
local r = one_step(m)

local W = p.gate:grad(true)
local x = p.table:embedding(batch.tokens:view(-1))
local logits = x:linear(W)
local s = logits:softmax(-1)
local values, experts = s:topk(2, -1)
local gates = values / values:sum(-1, true)
local y
for e = 1, E do
  local h = x:linear(p.gate_proj[e]):silu() * x:linear(p.up_proj[e])
  local add = h:linear(p.down_proj[e]) * (experts:eq(e):cast "f32" * gates):sum(-1, true)
  y = y and y + add or add
end
local load = experts:moe_load({experts = E})
local function norm_of(loss)
  local g = engine.grad(loss, {W})[1]
  return g:square():sum():sqrt():item(), g
end
local lm, lm_g = norm_of((y:linear(p.head):cross_entropy(batch.targets:view(-1))))
local balance, balance_g = norm_of((load * s:mean(1)):sum() * (E * 2)
  + logits:logsumexp(-1):square():mean() * 0.4)
near(at(r, "grad_norm.router_lm.1") / lm, 1, 1e-4, "the language model's gradient at the router")
near(at(r, "grad_norm.router_balance.1") / balance, 1, 1e-4, "that of the auxiliary losses")
near(at(r, "grad_norm.router.1") / (lm_g + balance_g):square():sum():sqrt():item(), 1, 1e-4,
  "as vectors they sum to the router's")
ok(balance > 0.05 * lm and lm > 0.05 * balance, "both are seen in that", lm .. " " .. balance)

local first3 = s:topk(3, -1)
local margin = (first3:narrow(2, 2, 1) - first3:narrow(2, 3, 1)):view(-1)
near(at(r, "margin.1"), margin:mean():item(), 1e-6, "margin: the K-th less the next")
local range = s:max(-1) + (s * -1):max(-1)
near(at(r, "close.1"), margin:lt(range * 0.01):cast("f32"):mean():item(), 1e-6, "... who is close")
near(at(r, "logsumexp.1"), logits:logsumexp(-1):mean():item(), 1e-5, "logsumexp")
local function low(v) return v:cast("bf16"):cast "f32" end
local function changed(K, gate_w, seen)
  local function sorted(scores)
    local _, list = scores:softmax(-1):topk(K, -1)
    return (list:cast("f32"):topk(K, -1))
  end
  local same = sorted(seen:linear(gate_w)):eq(sorted(low(low(seen):linear(low(gate_w)))))
  return 1 - same:cast("f32"):sum(-1):eq(K):cast("f32"):mean():item()
end
near(at(r, "bf16_changed.1"), changed(2, W, x), 1e-6, "share whose experts bf16 would change")
local gates_of = {}
for e = 1, E do gates_of[e] = (experts:eq(e):cast "f32" * gates):sum():item() * E / (B * T) end
near(t.furthest(t.values(r, "importance.1")[1], tensor(gates_of)), 0, 1e-5,
  "importance: the gates of each expert, of a fair share")
r:close()

-- Without aux there is the language model alone; it does not reach what is always 1.
r = one_step(plain{aux = 0, z = 0})
near(at(r, "grad_norm.router.1") / at(r, "grad_norm.router_lm.1"), 1, 1e-5, "no auxiliary loss")
is(at(r, "grad_norm.router_balance.1"), 0, "... its gradient is 0")
r:close()
nn.router("always_one", {
  gives = "logits scores",
  route = function(ctx)
    local scores = ctx:logits():softmax(-1)
    local _, chosen = ctx:choose(scores)
    return {experts = chosen, gates = tensor.ones(chosen.shape), scores = scores}
  end,
})
r = one_step(plain{top_k = 1, router = "always_one", aux = 0.1})
is(at(r, "grad_norm.router_lm.1"), 0, "a gate of 1: nothing of the language model reaches it")
ok(at(r, "grad_norm.router_balance.1") > 0, "... of the balance loss it does")
r:close()

-- Choices that bf16 changes: experts 1 and 3, and 2 and 4, differ by less than it can tell.
m = plain{top_k = 1, aux = 0}
local gate = m.params["model.layers.0.gate.weight"]
for i = 1, C do
  for e = 1, 2 do gate[e + 2][i]:fill(gate[e][i]:item() * (1 + 0.006 * (i % 3 - 1))) end
end
local w0 = gate:detach():clone()
local seen = m.params.table:detach():clone():embedding(batch.tokens:view(-1))
r = one_step(m)
near(at(r, "bf16_changed.1"), changed(1, w0, seen), 1e-6, "what bf16 changes of near ties")
ok(at(r, "bf16_changed.1") > 0.02, "bf16 does not tell what is close", at(r, "bf16_changed.1"))
ok(at(r, "close.1") > 0.2, "... as who is close says", at(r, "close.1"))
r:close()

-- ---- what there is not ----

local function names(more)
  local run = one_step(small.moe(t.with({vocab = d.vocab}, more)), {batch = 2})
  local all = " " .. table.concat(run:series(), " ") .. " "
  run:close()
  return all
end
local hash, top_p = names{router = "hash"}, names{router = "top_p"}
ok(not hash:find "margin" and not hash:find "bf16" and not hash:find "router_lm",
  "hash: no logits and no gradient", hash)
ok(not top_p:find "margin" and top_p:find "bf16_changed.1", "top_p: no K-th", top_p)
ok(not names{top_k = 4}:find "margin", "all experts: none is next")
r = train(model.dense{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab}, d,
  {steps = 2, batch = 2, eval_every = 0, save = false})
t.raises(function() r.health_every = 5 end, "health_every has no effect: the model has no router",
  "a dense model")
r:wait():close()

-- ---- the run is what it was ----

local function hash_of(more, o)
  local run = train(small.moe(t.with({vocab = d.vocab, layers = 2, dropout = 0.1}, more)), d,
    t.with({steps = 7, batch = 2, eval_every = 0, save = false}, o)):wait()
  local hash, n = run:hash(), #run:series()
  run:close()
  return hash, n
end
local CASES = {
  {"softmax, dropout", {}}, {"noise of its own", {router = "noisy_topk"}},
  {"micro-batches, a bias", {router = "sigmoid"}, {accumulate = 3}},
  {"loads of the step", {balance = {aux = 0.01, scope = "step"}}, {accumulate = 3}},
  {"quantiles", {router = "quantile"}}, {"capacity, at random", {router = "gshard"}},
  {"recompute", {}, {recompute = true}}, {"bf16", {}, {precision = "bf16"}},
}
for _, case in ipairs(CASES) do
  local off, few = hash_of(case[2], t.with({health_every = 0}, case[3]))
  local on, many = hash_of(case[2], t.with({health_every = 1}, case[3]))
  is(on, off, case[1] .. ": looking changes no bit")
  ok(many > few, "... and is done", many .. " " .. few)
end

-- Draws are the step's own, also behind a router that was asked twice: without auxiliary losses the
-- gradient is the step's.
for _, router in ipairs {"noisy_topk", "gshard", "softmax"} do
  local no_loss = {aux = 0, z = 0}
  if router == "noisy_topk" then no_loss = {cv2 = 0, cv2_load = 0} end
  local run = train(small.moe{vocab = d.vocab, layers = 3, dropout = 0.2, router = router,
    balance = no_loss}, d, {steps = 3, batch = 2, eval_every = 0, save = false,
    health_every = 1}):wait()
  local worst = 0
  for l = 1, 3 do
    for i = 1, 3 do
      local whole = at(run, "grad_norm.router." .. l, i)
      worst = math.max(worst, math.abs(at(run, "grad_norm.router_lm." .. l, i) / whole - 1))
    end
  end
  ok(worst < 1e-4, router .. ": the gradient that the step has", worst)
  run:close()
end

r = train(small.moe{vocab = d.vocab, layers = 2, router = "sigmoid"}, d, {steps = 160, batch = 2,
  eval_every = 0, save = false, health_every = 1, lint = false, paused = true})
local counted = {}
every(r, 10, function(self) counted[self.step] = tensor.memory().allocations end)
r:resume():wait()
is(counted[150] - counted[70], 0, "80 steps that were looked at: allocations")
r:close()

-- ---- which steps; changed live; resumed, rewound, replayed ----

local function steps_of(run, name)
  local list = {}
  for i, row in ipairs(run:history(name):table()) do list[i] = ("%d"):format(row[1]) end
  return table.concat(list, " ")
end
local function values(run) return table.concat(t.series(run, "grad_norm.router_lm.1"), " ") end

r = small.run(small.moe{vocab = d.vocab}, d, {steps = 12, batch = 2, eval_every = 0, name = "looks",
  health_every = 4, checkpoint_every = 5})
is(steps_of(r, "margin.1"), "1 4 8 12", "the first step and every 4th")
is(r:health()[1].step, 12, "health()")
ok(r:health()[1].router_norm_lm == t.series(r, "grad_norm.router_lm.1")[4], "... has it")
local before, hash12 = values(r), r:hash()
r:rewind(7)
r:resume():wait()
is(r:hash(), hash12, "rewound and done again")
is(values(r), before, "... with the same rows")
r.steps, r.health_every = 20, 3
r:resume():wait()
is(steps_of(r, "margin.1"), "1 4 8 12 15 18", "r.health_every holds from the next step on")
local last, rows = r:hash(), values(r)
r:close()
local again = train.resume "looks"
is(again.health_every, 3, "resumed")
again.steps = 21
again:resume():wait()
is(steps_of(again, "margin.1"), "1 4 8 12 15 18 21", "... it goes on looking")
again:close()
ok(last ~= hash12 and #rows > 0, "it had learned")
local replayed = replay "looks"
ok(replayed.identical and replayed.step == 21, "replayed", replayed.text)

t.done()
